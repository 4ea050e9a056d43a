// SPDX-License-Identifier: LGPL-2.1-or-later
// How full the file system of a disk is, as statfs(2) would tell if it were mounted.
#pragma once

#include "operations.h"

#include <disktool/block_device.h>

#include <cstdint>
#include <string>

namespace disktool::ploop::cli {

struct FilesystemFigures {
    std::uint64_t block_size = 0; ///< bytes
    std::uint64_t blocks = 0;     ///< without those of the file system's own tables, where it counts so
    std::uint64_t free_blocks = 0;
    std::uint64_t inodes = 0;
    std::uint64_t free_inodes = 0;
    std::string source; ///< "disk", ".statfs" or "mount"

    std::uint64_t kibibytes() const { return blocks * block_size / 1024; }
    std::uint64_t used_kibibytes() const { return (blocks - free_blocks) * block_size / 1024; }
};

/// From the .statfs beside the base image when it is newer than every image of the chain, else from the disk
/// itself: its first partition with a file system, or the whole disk. Reads only. Throws PloopError(mount)
/// where there is no file system that can be read.
FilesystemFigures filesystem_figures(const PloopDisk& disk);
/// The same of a disk that is a device, and not mounted. `name`: for messages.
FilesystemFigures filesystem_figures(BlockDevice& device, const std::string& name);

} // namespace disktool::ploop::cli
