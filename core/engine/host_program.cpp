// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/host_program.h"

#include <disktool/error.h>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace disktool {

namespace {

constexpr std::string_view digits = "0123456789";

/// The word that makes it tell its version. Some of e2fsprogs have none, but begin with it whatever they do.
std::string version_word(std::string_view name) {
    constexpr std::array with_capital{"e2fsck",  "mke2fs",     "debugfs",    "dumpe2fs",
                                      "e2image", "xfs_growfs", "xfs_repair", "mkfs.xfs"};
    if (std::find(with_capital.begin(), with_capital.end(), name) != with_capital.end())
        return "-V";
    return name == "resize2fs" ? "" : "--version";
}

std::vector<std::string> folders() {
    const char* const search = std::getenv("PATH");
    std::string all = search ? search : "";
    all += ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    std::vector<std::string> result;
    for (std::size_t start = 0; start <= all.size();) {
        const std::size_t colon = std::min(all.find(':', start), all.size());
        // A relative one would find whatever lies in the current folder.
        if (all[start] == '/')
            result.push_back(all.substr(start, colon - start));
        start = colon + 1;
    }
    return result;
}

std::optional<std::string> find(const std::string& name) {
    for (const std::string& folder : folders()) {
        std::string candidate = fmt::format("{}/{}", folder, name);
        struct stat status {};
        if (stat(candidate.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
            access(candidate.c_str(), X_OK) == 0)
            return candidate;
    }
    return std::nullopt;
}

std::string ask_version(ProcessDoor& processes, const std::string& name, const std::string& path) {
    Command command;
    command.arguments = {path};
    if (std::string word = version_word(name); !word.empty())
        command.arguments.push_back(std::move(word));
    command.timeout = std::chrono::seconds(10);
    command.output_limit = 64 << 10;
    const CommandResult result = processes.run(command);
    // Whatever its exit status is: a usage message tells it as well.
    if (auto version = version_in(result.output))
        return *version;
    return version_in(result.errors).value_or("");
}

struct Known {
    std::mutex mutex;
    std::map<std::pair<ProcessDoor*, std::string>, HostProgram> programs;
};

Known& known() {
    static Known programs;
    return programs;
}

[[noreturn]] void refuse(const std::string& what, const std::string& package, const std::string& purpose) {
    throw Error(ErrorCode::program_missing,
                fmt::format("{}{}{}. Install the package {}", what, purpose.empty() ? "" : ", which is needed ",
                            purpose, package),
                Reason::program_missing);
}

} // namespace

std::optional<std::string> version_in(std::string_view text) {
    for (std::size_t at = text.find_first_of(digits); at != std::string_view::npos;
         at = text.find_first_of(digits, at)) {
        const std::size_t end = std::min(text.find_first_not_of("0123456789.", at), text.size());
        std::string_view word = text.substr(at, end - at);
        word = word.substr(0, word.find_last_of(digits) + 1);
        // A number within a word ("e2fsck", "x86_64") is none, but for the v of "v6.2".
        const char before = at == 0 ? ' ' : text[at - 1];
        const bool starts = !std::isalnum(static_cast<unsigned char>(before)) ||
                            ((before == 'v' || before == 'V') && (at < 2 || text[at - 2] == ' '));
        if (starts && word.find('.') != std::string_view::npos && word.find("..") == std::string_view::npos)
            return std::string(word);
        at = end;
    }
    return std::nullopt;
}

bool older(std::string_view version, std::string_view than) {
    const auto next = [](std::string_view& rest) {
        const std::size_t dot = std::min(rest.find('.'), rest.size());
        std::string_view part = rest.substr(0, dot);
        rest.remove_prefix(std::min(dot + 1, rest.size()));
        part.remove_prefix(std::min(part.find_first_not_of('0'), part.size()));
        return part;
    };
    while (!version.empty() || !than.empty()) {
        const std::string_view a = next(version);
        const std::string_view b = next(than);
        // Of numbers without leading zeros the longer one is larger; this way none can overflow.
        if (a != b)
            return a.size() != b.size() ? a.size() < b.size() : a < b;
    }
    return false;
}

HostProgram require_program(Doors doors, const std::string& name, const std::string& least_version,
                            const std::string& package, const std::string& purpose) {
    const std::scoped_lock lock(known().mutex);
    HostProgram& program = known().programs[{&doors.processes, name}];
    if (program.path.empty()) {
        const auto path = find(name);
        if (!path)
            refuse(fmt::format("{} is not installed", name), package, purpose);
        program.path = *path;
    }
    if (least_version.empty())
        return program;
    if (program.version.empty())
        program.version = ask_version(doors.processes, name, program.path);
    if (program.version.empty())
        refuse(fmt::format("{} does not tell its version, and at least {} must it be", program.path,
                           least_version),
               package, purpose);
    if (older(program.version, least_version))
        refuse(fmt::format("{} is version {}, too old: at least {} must it be", program.path, program.version,
                           least_version),
               package, purpose);
    return program;
}

void forget_programs() {
    const std::scoped_lock lock(known().mutex);
    known().programs.clear();
}

} // namespace disktool
