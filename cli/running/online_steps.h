// SPDX-License-Identifier: LGPL-2.1-or-later
// What commands do to a running device and the file system on it, as steps of a plan.
#pragma once

#include "balloon_file.h"
#include "partition/table.h"
#include "running_filesystem.h"
#include "trim.h"

#include <disktool/plan.h>

#include <cstdint>
#include <memory>

namespace disktool::ploop::cli {

// The file system must outlive the steps. `say` gets the lines that the original prints.

/// The balloon gets that size, in bytes.
std::unique_ptr<Step> balloon_step(RunningFilesystem& filesystem, std::uint64_t new_size);
/// As large as the file system lets it become.
std::unique_ptr<Step> largest_balloon_step(RunningFilesystem& filesystem, std::uint64_t cluster);
/// Emptied for a moment, all free space given back to the image, and filled again to that size.
std::unique_ptr<Step> repair_balloon_step(RunningFilesystem& filesystem, std::uint64_t size,
                                          const RunningImage& image);

/// Image, descriptor and block device, through the device's process.
std::unique_ptr<Step> grow_device_step(RunningFilesystem& filesystem, std::uint64_t sectors);
/// The partition table on the block device, then the kernel's idea of it. Fails with PloopError(change_table).
std::unique_ptr<Step> table_step(RunningFilesystem& filesystem, const TableChange& change);
/// To the size of its partition: by the program of its type, mounted or not (see docs/ploop-devices.md). Fails
/// with PloopError(resize_filesystem) and the way out.
std::unique_ptr<Step> grow_filesystem_step(RunningFilesystem& filesystem, std::uint64_t wanted_sectors);
/// Of one that is not mounted: e2fsck. Fails with PloopError(fsck).
std::unique_ptr<Step> check_filesystem_step(RunningFilesystem& filesystem);
/// An ext that is not mounted gets that size, in bytes; what lies behind it is given back to the image.
std::unique_ptr<Step> shrink_filesystem_step(RunningFilesystem& filesystem, std::uint64_t new_size);

/// Files put together, by the program of the file system's type where the host has it.
std::unique_ptr<Step> defragment_step(RunningFilesystem& filesystem, std::uint64_t cluster);
struct TrimStepOptions {
    std::uint64_t cluster = 0;  ///< bytes
    std::uint64_t smallest = 0; ///< bytes
    std::uint64_t enough = 0;   ///< bytes of the image; 0: as much as there is
    bool raw = false;           ///< the image is a raw one
    bool if_possible = false;   ///< a device that takes nothing back is no error
};
/// Free space is given back to the image. Reports "clusters_freed".
std::unique_ptr<Step> trim_step(RunningFilesystem& filesystem, const TrimStepOptions& options);
/// The image file gets shorter. Reports "bytes_cut" and "clusters_moved".
std::unique_ptr<Step> compact_step(RunningFilesystem& filesystem, std::uint64_t cluster);

/// What a balloon is to cover goes from the image before: afterwards it is no free space any more. Then the
/// balloon, then the image's file gets shorter. Where nothing can be freed, the balloon alone, and a note.
void plan_inflation(Plan& plan, RunningFilesystem& filesystem, const RunningImage& image,
                    std::unique_ptr<Step> balloon);

} // namespace disktool::ploop::cli
