// SPDX-License-Identifier: LGPL-2.1-or-later
#include "balloon_space.h"

#include "balloon_file.h"
#include "little_endian.h"

#include <disktool/doors.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace disktool::ploop::cli {

namespace {

/// The kernel's ext4 keeps blocks back from everyone: 2 %, at most 4096.
constexpr std::uint64_t most_reserved_blocks = 4096;

struct ExtSizes {
    std::uint64_t size = 0, tables = 0; ///< bytes
};

/// From the superblock, of which the kernel keeps these fields right while it is mounted (ext4(5): inodes at 0,
/// blocks at 4 and 0x150, block size at 24, inode size at 88, features at 0x60).
ExtSizes ext_sizes(const std::string& node) {
    std::array<std::byte, 1024> super{};
    real_doors().files.open(node, {})->read(super.size(), super);
    constexpr std::uint32_t feature_64bit = 0x80;
    const std::uint64_t block_size = std::uint64_t{1024} << std::min(get<std::uint32_t>(super, 24), 6u);
    std::uint64_t blocks = get<std::uint32_t>(super, 4);
    if ((get<std::uint32_t>(super, 0x60) & feature_64bit) != 0) {
        blocks |= std::uint64_t{get<std::uint32_t>(super, 0x150)} << 32;
    }
    return {blocks * block_size, std::uint64_t{get<std::uint32_t>(super, 0)} * get<std::uint16_t>(super, 88)};
}

} // namespace

std::uint64_t BalloonSpace::for_disk(std::uint64_t wanted, std::uint64_t cluster) const {
    const std::uint64_t target = wanted - std::min(wanted, clusters_around * cluster) + tables;
    return size - std::min(size, target);
}

std::uint64_t BalloonSpace::smallest_disk(std::uint64_t cluster) const {
    const std::uint64_t kept = tables + balloon + free - std::min(free, cluster);
    const std::uint64_t least = size - std::min(size, kept) + clusters_around * cluster;
    return std::max(round_up(least, cluster), (clusters_around + 1) * cluster);
}

BalloonSpace balloon_space(const RunningFilesystem& filesystem) {
    struct statvfs found {};
    if (statvfs(filesystem.mount_point.c_str(), &found) != 0) {
        throw SystemError("Cannot learn the size of", filesystem.mount_point, errno);
    }
    const std::uint64_t block = found.f_frsize;
    BalloonSpace space;
    space.balloon = BalloonFile(filesystem.mount_point).size();
    if (filesystem.is_ext()) {
        const ExtSizes sizes = ext_sizes(filesystem.node);
        space.size = sizes.size;
        space.tables = sizes.tables;
        const std::uint64_t reserved = std::min(sizes.size / block / 50, most_reserved_blocks);
        space.free = (found.f_bfree - std::min<std::uint64_t>(found.f_bfree, reserved)) * block;
    } else {
        space.size = found.f_blocks * block;
        space.free = found.f_bavail * block;
    }
    return space;
}

} // namespace disktool::ploop::cli
