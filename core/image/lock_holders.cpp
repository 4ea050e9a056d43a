// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image/lock_holders.h"

#include <disktool/doors.h>
#include <disktool/error.h>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <sstream>

namespace disktool {
namespace {

constexpr std::size_t largest_proc_file = 64 << 10;

std::optional<std::uint64_t> number(const std::string& text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

/// A line of fdinfo: "lock:\t1: OFDLCK  ADVISORY  READ -1 08:01:1234 100 101" (last byte, or EOF).
std::optional<HeldLock> parse_lock(const std::string& line) {
    std::istringstream words(line);
    std::string label, index, family, advice, mode, pid, inode, first, last;
    if (!(words >> label >> index >> family >> advice >> mode >> pid >> inode >> first >> last) ||
        label != "lock:") {
        return std::nullopt;
    }
    const std::optional<std::uint64_t> start = number(first);
    if (!start) {
        return std::nullopt;
    }
    return HeldLock{family == "FLOCK", mode == "WRITE", *start, number(last).value_or(UINT64_MAX)};
}

std::vector<HeldLock> locks_of(FileDoor& files, const std::string& fdinfo) {
    std::vector<HeldLock> locks;
    std::istringstream lines(files.read_text(fdinfo, largest_proc_file));
    for (std::string line; std::getline(lines, line);) {
        if (const std::optional<HeldLock> lock = parse_lock(line)) {
            locks.push_back(*lock);
        }
    }
    return locks;
}

/// Does the process hold a lock on the file that matters?
bool holds(FileDoor& files, const std::string& process, const FileStatus& file, const LockFilter& matters) {
    for (const std::string& descriptor : files.list(process + "/fd")) {
        try {
            const std::optional<FileStatus> open = files.status(fmt::format("{}/fd/{}", process, descriptor));
            if (!open || !open->same_file(file)) {
                continue;
            }
            const std::vector<HeldLock> locks =
                locks_of(files, fmt::format("{}/fdinfo/{}", process, descriptor));
            if (std::any_of(locks.begin(), locks.end(), matters)) {
                return true;
            }
        } catch (const Error&) {
            continue; // closed in the meantime
        }
    }
    return false;
}

std::string program_of(FileDoor& files, const std::string& process) {
    std::string program = files.read_text(process + "/comm", largest_proc_file);
    while (program.ends_with('\n')) {
        program.pop_back();
    }
    return program;
}

} // namespace

std::vector<LockHolder> lock_holders(const FileStatus& file, const LockFilter& matters) {
    FileDoor& files = real_doors().files;
    std::vector<LockHolder> holders;
    for (const std::string& entry : files.list("/proc")) {
        const std::optional<std::uint64_t> pid = number(entry);
        if (!pid || *pid == static_cast<std::uint64_t>(::getpid())) {
            continue;
        }
        const std::string process = "/proc/" + entry;
        try {
            if (holds(files, process, file, matters)) {
                holders.push_back({static_cast<int>(*pid), program_of(files, process)});
            }
        } catch (const Error&) {
            continue; // ended in the meantime, or another user's
        }
    }
    return holders;
}

std::vector<LockHolder> lock_holders(const FileStatus& file) {
    return lock_holders(file, [](const HeldLock&) { return true; });
}

std::string holders_text(const std::vector<LockHolder>& holders) {
    if (holders.empty()) {
        return "a process that /proc does not show";
    }
    std::string text;
    for (const LockHolder& holder : holders) {
        text += fmt::format("{}pid {} ({})", text.empty() ? "" : ", ", holder.pid, holder.program);
    }
    return text;
}

} // namespace disktool
