// SPDX-License-Identifier: LGPL-2.1-or-later
// Steps on a working state of the disk that the core itself adds to a plan.
#pragma once

#include "partition/table.h"
#include "plugin/registry.h"
#include "verb/survey.h"

#include <disktool/plan.h>
#include <disktool/working_disk.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace disktool {

/// Writes the patches of a partition table to the working disk. `what` says what changes: "partition 2 ends at
/// 6 GiB".
std::unique_ptr<Step> make_table_step(std::vector<Patch> patches, std::string what);

/// What the new state must show before it becomes the image's own.
struct ExpectedState {
    std::uint64_t disk_size = 0;
    int partition = 0; ///< 0: the whole disk
    Range range;       ///< of that partition
    std::string type;  ///< of the content
};

/// Reads the working disk anew: the table must tell of the partition, and its content must open, be of the same
/// type and fit in. Throws damaged otherwise, and nothing has changed. The registry must outlive the step.
std::unique_ptr<Step> make_verify_step(Registry& registry, ExpectedState expected);

/// The switch from the old state to the new one.
std::unique_ptr<Step> make_commit_step(WorkCommit request, std::string what);

/// Lets the appliance give the file system on `device` another size.
std::unique_ptr<Step> make_appliance_resize_step(std::string device, std::string type, std::uint64_t old_size,
                                                 std::uint64_t new_size);
/// The same for an LVM physical volume, and for a logical one.
std::unique_ptr<Step> make_physical_volume_step(std::string device, std::uint64_t new_size);
std::unique_ptr<Step> make_logical_volume_step(std::string device, std::uint64_t new_size);

} // namespace disktool
