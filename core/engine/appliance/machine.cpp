// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/appliance/machine.h"

#include "engine/appliance/missing_parts.h"
#include "image/locks.h"

#include <disktool/doors.h>
#include <disktool/log.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

namespace disktool {

namespace {

constexpr std::size_t console_limit = 8 << 10; // bytes

std::string_view first_line(std::string_view text) {
    return text.substr(0, text.find('\n'));
}

/// The first line that QEMU itself wrote: it fails before its guest says much.
std::optional<std::string> line_of_qemu(std::string_view console) {
    while (!console.empty()) {
        const std::string_view line = first_line(console);
        console.remove_prefix(std::min(console.size(), line.size() + 1));
        if (const std::size_t colon = line.find(": "); line.starts_with("qemu-") && colon != line.npos)
            return std::string(line.substr(colon + 2));
    }
    return std::nullopt;
}

/// What follows the names of files and options: "Image is not in qcow2 format".
std::string_view last_part(std::string_view line) {
    const std::size_t colon = line.rfind(": ");
    return colon == line.npos ? line : line.substr(colon + 2);
}

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

} // namespace

BootFailure::BootFailure(const std::string& why)
    : Error(ErrorCode::program_missing,
            fmt::format("The appliance (libguestfs) does not start: {}. It needs the packages libguestfs0, "
                        "supermin, qemu-system-x86, qemu-utils and linux-image-amd64; libguestfs-test-tool "
                        "shows more",
                        why),
            Reason::appliance_unavailable),
      why_(why) {}
BootFailure::~BootFailure() = default;

Machine::Machine(const ApplianceConfig& config, const Appliance::Disk& disk, const std::string& setting,
                 const CancelToken* cancel)
    : disk_(disk), cancel_(cancel), handle_(guestfs_create()) {
    if (!handle_)
        throw BootFailure("libguestfs cannot make a handle");
    configure(config, setting);
    add_disk();
    launch(config.boot_timeout);
}

void Machine::configure(const ApplianceConfig& config, const std::string& setting) {
    guestfs_h* const g = guestfs();
    guestfs_set_error_handler(g, nullptr, nullptr); // it would write to standard error
    constexpr std::uint64_t events = GUESTFS_EVENT_APPLIANCE | GUESTFS_EVENT_LIBRARY | GUESTFS_EVENT_WARNING;
    const std::uint64_t memory = divide_up(config.memory, MiB);
    bool ok = guestfs_set_event_callback(g, hear, events, 0, this) >= 0;
    // Its own process group: a ctrl-C is for us, and we choose when to stop the machine.
    ok = ok && guestfs_set_pgroup(g, 1) == 0;
    if (!std::getenv("LIBGUESTFS_BACKEND"))
        ok = ok && guestfs_set_backend(g, "direct") == 0;
    if (!setting.empty())
        ok = ok && guestfs_set_backend_setting(g, setting.c_str(), "1") == 0;
    if (memory != 0)
        ok = ok && guestfs_set_memsize(g, static_cast<int>(memory)) == 0;
    if (!ok)
        throw Error(ErrorCode::failure, fmt::format("Cannot set up the appliance: {}", last_error()));
}

void Machine::add_disk() {
    struct guestfs_add_drive_opts_argv options {};
    options.bitmask = GUESTFS_ADD_DRIVE_OPTS_FORMAT_BITMASK | GUESTFS_ADD_DRIVE_OPTS_READONLY_BITMASK;
    options.format = disk_.format.c_str();
    options.readonly = disk_.read_only;
    if (!disk_.read_only) {
        options.bitmask |= GUESTFS_ADD_DRIVE_OPTS_DISCARD_BITMASK;
        options.discard = "enable";
    }
    // An absolute path is never taken for a protocol ("nbd:...").
    const std::string path = real_doors().files.real_path(disk_.path);
    if (guestfs_add_drive_opts_argv(guestfs(), path.c_str(), &options) != 0)
        explain_failed_boot(line_of_qemu(console_).value_or(last_error()), true);
}

void Machine::launch(std::chrono::seconds limit) {
    log(LogLevel::debug, fmt::format("boot the appliance on {}", disk_.path));
    const ChildrenOfThread children;
    const Watchdog watchdog(cancel_, Watchdog::Clock::now() + limit,
                            [&](int number) { children.signal(number); });
    const bool ok = guestfs_launch(guestfs()) == 0;
    check_cancelled();
    if (!ok && watchdog.expired())
        explain_failed_boot(fmt::format("it did not come up within {} s (appliance: boot-timeout in the "
                                        "configuration)",
                                        limit.count()),
                            false);
    if (!ok) {
        const std::string why = line_of_qemu(console_).value_or(last_error());
        explain_failed_boot(why, why.starts_with("-drive ")); // QEMU names the option that it speaks of
    }
    process_ = open_process(guestfs_get_pid(guestfs()));
}

void Machine::explain_failed_boot(const std::string& why, bool of_disk) const {
    log(LogLevel::info, fmt::format("the appliance did not start: {}\n{}", why, console_));
    FileDoor& files = real_doors().files;
    if (contains(console_, "Failed to get") && contains(console_, "lock")) {
        const std::optional<FileStatus> status = files.status(disk_.path);
        throw Error(ErrorCode::locked,
                    fmt::format("The appliance cannot open {}: it is locked by another process: {}", disk_.path,
                                holders_text(status ? lock_holders(*status) : std::vector<LockHolder>())),
                    Reason::image_in_use);
    }
    if (contains(console_, "No space left on device") || contains(why, "No space left on device"))
        throw Error(ErrorCode::no_space,
                    "The appliance does not start: no space left for its own files in $TMPDIR or /var/tmp");
    const std::vector<std::string> missing =
        missing_parts(files, GuestfsString(guestfs_get_hv(guestfs())).get());
    if (!missing.empty())
        throw Error(ErrorCode::program_missing,
                    fmt::format("The appliance (libguestfs) cannot be started: {}", fmt::join(missing, "; ")),
                    Reason::appliance_unavailable);
    if (of_disk)
        throw Error(ErrorCode::failure,
                    fmt::format("The appliance cannot open {}: {}", disk_.path, last_part(why)));
    throw BootFailure(why);
}

bool Machine::try_call(const std::function<bool(guestfs_h*)>& call) {
    check_cancelled();
    if (!disk_.read_only)
        return call(guestfs());
    bool ok = false;
    {
        const Watchdog watchdog(cancel_, Watchdog::Clock::time_point::max(),
                                [this](int number) { signal_process(process_, number); });
        ok = call(guestfs());
    }
    check_cancelled();
    return ok;
}

void Machine::call(std::string_view action, const std::function<bool(guestfs_h*)>& call) {
    if (!try_call(call))
        throw Error(ErrorCode::failure, fmt::format("The appliance cannot {}: {}", action, last_error()));
}

std::string Machine::last_error() const {
    const char* const error = guestfs_last_error(guestfs());
    return error ? std::string(first_line(error)) : "no reason is known";
}

void Machine::check_cancelled() const {
    if (cancel_)
        cancel_->check();
}

void Machine::hear(guestfs_h*, void* self, std::uint64_t, int, int, const char* text, std::size_t length,
                   const std::uint64_t*, std::size_t) noexcept {
    std::string& console = static_cast<Machine*>(self)->console_;
    console.append(text, length);
    if (console.size() > console_limit)
        console.erase(0, console.size() - console_limit);
}

} // namespace disktool
