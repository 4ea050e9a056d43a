// SPDX-License-Identifier: LGPL-2.1-or-later
#include "filesystem_program.h"

#include "engine/host_program.h"
#include "little_endian.h"

#include <disktool/error.h>

#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

namespace disktool::ploop::cli {

namespace {

struct ProgramPackage {
    std::string_view program, package;
};
constexpr const char* purpose = "for the file system of a running disk";

constexpr std::array packages = {
    ProgramPackage{"xfs_growfs", "xfsprogs"}, ProgramPackage{"xfs_fsr", "xfsprogs"},
    ProgramPackage{"btrfs", "btrfs-progs"},   ProgramPackage{"resize2fs", "e2fsprogs"},
    ProgramPackage{"e2fsck", "e2fsprogs"},    ProgramPackage{"e4defrag", "e2fsprogs"},
};

std::string package_of(std::string_view program) {
    for (const ProgramPackage& known : packages) {
        if (known.program == program) {
            return std::string(known.package);
        }
    }
    return std::string(program);
}

} // namespace

CommandResult run_program(StepContext& context, const RunningFilesystem& filesystem, const std::string& program,
                          std::vector<std::string> arguments) {
    Command command;
    command.arguments = {require_program(context.doors(), program, "", package_of(program), purpose).path};
    command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
    command.cancel = &context.cancel();
    filesystem.say("Running: " + command.text());
    return context.doors().processes.run(command);
}

bool has_program(Doors doors, const std::string& program) {
    try {
        require_program(doors, program, "", package_of(program), purpose);
        return true;
    } catch (const Error& error) {
        if (error.code() != ErrorCode::program_missing) {
            throw;
        }
        return false;
    }
}

bool lacks_resource_capability(const CommandResult& result) {
    // resize2fs translates the EPERM of the kernel so.
    return result.errors.find("Permission denied to resize filesystem") != std::string::npos;
}

std::uint64_t btrfs_device_id(const std::string& node) {
    // The superblock at 64 KiB; the item of its own device at 201 in it, of which the id is the first 8 bytes.
    std::array<std::byte, 8> bytes{};
    real_doors().files.open(node, {})->read(64 * 1024 + 201, bytes);
    return get<std::uint64_t>(bytes, 0);
}

void discard_behind(const std::string& node, std::uint64_t first) {
    const std::unique_ptr<File> file = real_doors().files.open(node, {.write = true});
    const std::uint64_t size = file->status().size;
    std::array<std::uint64_t, 2> range{first, size - std::min(size, first)};
    if (range[1] > 0 && ioctl(file->descriptor(), BLKDISCARD, range.data()) != 0 && errno != EOPNOTSUPP) {
        throw SystemError("Cannot give back the end of", node, errno);
    }
}

} // namespace disktool::ploop::cli
