// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/qemu.h"

#include "engine/qemu_error.h"

namespace disktool {

namespace {

CommandResult run_qemu_img(ProcessDoor& processes, const Command& command) {
    try {
        return processes.run(command);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::program_missing)
            throw qemu_utils_missing(error);
        throw;
    }
}

} // namespace

void qemu_img_resize(Doors doors, const std::string& path, const std::string& format, std::uint64_t new_size,
                     CancelToken* cancel) {
    Command command;
    // An absolute path is never taken for an option or for a protocol ("nbd:...").
    command.arguments = {
        "qemu-img", "resize", "-q", "-f", format, doors.files.real_path(path), std::to_string(new_size)};
    command.cancel = cancel;
    const CommandResult result = run_qemu_img(doors.processes, command);
    if (!result.ok())
        throw qemu_error(doors.files, "Cannot resize", path, result.errors);
}

} // namespace disktool
