// SPDX-License-Identifier: LGPL-2.1-or-later
// What `ploop init` puts on a new disk: a GPT, one partition, an ext3 or ext4, and in it the balloon file.
#pragma once

#include <disktool/block_device.h>
#include <disktool/plan.h>

#include <cstdint>
#include <string>

namespace disktool::ploop::cli {

struct NewFilesystem {
    std::string type = "ext4";            ///< or "ext3"
    std::uint32_t block_size = 4096;      ///< bytes
    bool lazy = true;                     ///< leave inode tables and journal to the kernel
    std::uint32_t cluster_sectors = 2048; ///< of the image; the partition begins and ends on clusters
};

/// Made in the sparse file `scratch` by mke2fs, tune2fs and libext2fs without mounting anything, then taken
/// over without its zeros. The file is gone afterwards, also on an error. The partition and the file system
/// have the original's geometry and options. Throws PloopError(make_filesystem) with mke2fs's reason (the
/// journal of 128 MiB wants at least 257 MiB), program_missing.
void make_filesystem(StepContext& context, BlockDevice& disk, const std::string& scratch,
                     const NewFilesystem& wanted);

/// The same on a block device of `size` bytes, in place; mke2fs writes over what is there. Without the balloon
/// file. What can be known to fail does before the device is touched.
void make_filesystem_on_device(StepContext& context, const std::string& device, std::uint64_t size,
                               const NewFilesystem& wanted);

/// For the plan.
std::string make_filesystem_text(const NewFilesystem& wanted);

} // namespace disktool::ploop::cli
