// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/sandbox.h"

#include "block/host_descriptor.h"
#include "block/host_launch.h"
#include "engine/own_place.h"

#include <disktool/doors.h>
#include <disktool/error.h>
#include <disktool/log.h>

#include <fmt/format.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <sstream>
#include <string_view>
#include <utility>

namespace disktool {

namespace {

constexpr int report_number = 3; ///< the report's descriptor in the helper

/// Of the system, for the program, its libraries and their settings. Nothing here is secret.
constexpr std::array system_paths{"/usr",
                                  "/bin",
                                  "/sbin",
                                  "/lib",
                                  "/lib32",
                                  "/lib64",
                                  "/libx32",
                                  "/nix/store",
                                  "/gnu/store",
                                  "/etc/ld.so.cache",
                                  "/etc/ld.so.conf",
                                  "/etc/ld.so.conf.d",
                                  "/etc/alternatives",
                                  "/etc/e2fsck.conf",
                                  "/etc/mke2fs.conf",
                                  "/etc/localtime",
                                  "/etc/mtab"};

/// A user that this host does not know, and that another run of ours, in another process, does not take at the
/// same time: systemd gives such numbers to services without users of their own (systemd.exec(5), DynamicUser).
uid_t unknown_user() {
    constexpr uid_t first = 61184;
    constexpr uid_t count = 65519 - first + 1;
    const auto start = static_cast<uid_t>(getpid());
    for (uid_t i = 0; i < count; ++i) {
        const uid_t candidate = first + (start + i) % count;
        if (getpwuid(candidate) == nullptr)
            return candidate;
    }
    return 65534;
}

std::string helper_path() {
    const std::string path = fmt::format("{}/{}/sandbox", own_prefix(), DISKTOOL_LIBEXEC_DIR);
    if (access(path.c_str(), X_OK) != 0)
        throw Error(
            ErrorCode::program_missing,
            fmt::format("{} is missing: it is a part of disktool, without which no program of the host is "
                        "let at a file system. Install disktool again",
                        path),
            Reason::program_missing);
    return path;
}

bool below(std::string_view path, std::string_view folder) {
    return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

/// What the root shows: the system, and where the program and the helper lie should that be elsewhere.
std::vector<std::string> readable_paths(const std::string& program, const std::string& helper) {
    std::vector<std::string> paths;
    for (const char* path : system_paths) {
        struct stat status {};
        if (lstat(path, &status) == 0)
            paths.emplace_back(path);
    }
    const auto seen = [&](const std::string& path) {
        return std::any_of(paths.begin(), paths.end(),
                           [&](const std::string& one) { return below(path, one); });
    };
    if (!seen(helper))
        paths.push_back(helper);
    if (!seen(program))
        paths.push_back(program);
    return paths;
}

using Words = std::vector<std::string>;

void append(Words& words, std::initializer_list<std::string> more) {
    words.insert(words.end(), more);
}

Words helper_words(const Command& command, const std::string& helper) {
    Words words{helper, "--report", std::to_string(report_number)};
    if (geteuid() == 0)
        append(words, {"--user", fmt::format("{}:{}", Sandbox::user(), Sandbox::group())});
    for (const auto& [name, value] : command.environment)
        append(words, {"--set", name + "=" + value});
    return words;
}

/// The folders that a path lies in, from the top.
void add_parents(Words& words, const std::string& path) {
    for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
        append(words, {"--dir", path.substr(0, slash)});
}

/// The helper, which keeps an eye on bubblewrap, and bubblewrap's words, up to and with "--".
Words bubblewrap_words(const std::string& helper, const Words& readable, const Words& files) {
    Words words{helper,          "--keep",        find_program("bwrap"), "--unshare-ipc", "--unshare-pid",
                "--unshare-net", "--unshare-uts", "--die-with-parent",   "--clearenv"};
    if (geteuid() == 0) // the helper needs these to become another user, and drops them with that
        append(words, {"--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add",
                       "CAP_SETPCAP"});
    else
        append(words, {"--unshare-user"});
    append(words,
           {"--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", "268435456", "--tmpfs", "/tmp"});
    for (const std::string& path : readable) {
        add_parents(words, path); // left to itself bubblewrap makes them for its own user alone
        std::error_code none;
        if (std::filesystem::is_symlink(path, none))
            append(words, {"--symlink", std::filesystem::read_symlink(path, none).string(), path});
        else
            append(words, {"--ro-bind", path, path});
    }
    for (const std::string& path : files) {
        add_parents(words, path);
        append(words, {"--bind", path, path});
    }
    append(words, {"--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--"});
    return words;
}

Words own_words(const Words& readable, const Words& files) {
    Words words{"--isolate"};
    for (const std::string& path : readable)
        append(words, {"--read", path});
    for (const std::string& path : files)
        append(words, {"--write", path});
    return words;
}

Descriptor make_report() {
    Descriptor report(memfd_create("report", MFD_CLOEXEC));
    if (!report)
        throw SystemError("Cannot make", "a file in memory", errno);
    return report;
}

std::string read_report(int from) {
    std::array<char, 16384> text{};
    const ssize_t got = pread(from, text.data(), text.size(), 0);
    return {text.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
}

} // namespace

uid_t Sandbox::user() {
    static const uid_t chosen = geteuid() == 0 ? unknown_user() : geteuid();
    return chosen;
}

gid_t Sandbox::group() {
    return geteuid() == 0 ? static_cast<gid_t>(user()) : getegid();
}

struct Sandbox::Outcome {
    CommandResult result;
    bool entered = false; ///< the helper was reached
    std::string failure;  ///< why the program was not started; empty: it was
    std::vector<std::string> missing;
};

Sandbox::Sandbox(ProcessDoor& processes, Kind kind) : processes_(processes), kind_(kind) {}

Sandbox::Outcome Sandbox::try_run(const Command& command, const std::vector<std::string>& files,
                                  bool bubblewrap) {
    const std::string helper = helper_path();
    const Words readable = readable_paths(command.arguments.at(0), helper);
    const Descriptor report = make_report();
    Command outer = command;
    outer.environment.clear();
    outer.arguments = helper_words(command, helper);
    if (bubblewrap) {
        const Words before = bubblewrap_words(helper, readable, files);
        outer.arguments.insert(outer.arguments.begin(), before.begin(), before.end());
    } else {
        const Words more = own_words(readable, files);
        outer.arguments.insert(outer.arguments.end(), more.begin(), more.end());
    }
    outer.arguments.emplace_back("--");
    outer.arguments.insert(outer.arguments.end(), command.arguments.begin(), command.arguments.end());
    outer.descriptors.emplace_back(report.get(), report_number);

    Outcome outcome;
    outcome.result = processes_.run(outer);
    std::istringstream lines(read_report(report.get()));
    for (std::string line; std::getline(lines, line);) {
        if (line == "entered")
            outcome.entered = true;
        else if (line.starts_with("missing "))
            outcome.missing.push_back(line.substr(8));
        else if (line.starts_with("failed "))
            outcome.failure = line.substr(7);
    }
    return outcome;
}

CommandResult Sandbox::run(const Command& command, const std::vector<std::string>& files) {
    Outcome outcome;
    used_bubblewrap_ = false;
    if (kind_ != Kind::own && bubblewrap_works_) {
        try {
            outcome = try_run(command, files, true);
            used_bubblewrap_ = outcome.entered || outcome.result.timed_out;
            if (!used_bubblewrap_)
                log(LogLevel::info, fmt::format("bubblewrap does not work here, so the sandbox is our own: {}",
                                                outcome.result.errors));
        } catch (const Error& error) {
            if (error.code() != ErrorCode::program_missing)
                throw;
            log(LogLevel::info, "bubblewrap (bwrap) is not installed, so the sandbox is our own");
        }
        bubblewrap_works_ = used_bubblewrap_;
    }
    if (!used_bubblewrap_) {
        if (kind_ == Kind::bubblewrap)
            throw Error(ErrorCode::program_missing,
                        "bubblewrap (package bubblewrap) is not there or does not work",
                        Reason::program_missing);
        outcome = try_run(command, files, false);
    }
    missing_ = outcome.missing;
    for (const std::string& what : missing_) {
        if (std::find(told_.begin(), told_.end(), what) == told_.end()) {
            told_.push_back(what);
            log(LogLevel::info, fmt::format("the sandbox of {} goes without {}", command.arguments[0], what));
        }
    }
    if (!outcome.failure.empty() || (!outcome.entered && !outcome.result.timed_out))
        throw Error(ErrorCode::program_missing,
                    fmt::format("Cannot start {} in a sandbox: {}", command.arguments[0],
                                outcome.failure.empty() ? outcome.result.errors : outcome.failure),
                    Reason::program_missing);
    return std::move(outcome.result);
}

} // namespace disktool
