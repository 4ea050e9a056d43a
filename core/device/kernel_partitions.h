// SPDX-License-Identifier: LGPL-2.1-or-later
// Partitions of a block device, told to the kernel by BLKPG, as it may not read tables itself. Source:
// linux/blkpg.h.
#pragma once

#include <disktool/api.h>
#include <disktool/range.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace disktool {

struct KernelPartition {
    int number = 0;
    Range range;                     ///< bytes of the disk
    std::uint64_t device_number = 0; ///< dev_t
};

/// What the kernel has: from /sys/dev/block. `disk`: a descriptor of the whole device.
DISKTOOL_API std::vector<KernelPartition> kernel_partitions(int disk);
/// The same by the device's number (dev_t): it need not be opened.
DISKTOOL_API std::vector<KernelPartition> kernel_partitions_of(std::uint64_t device_number);
/// Makes what the kernel has equal to `wanted`: those that are there stay (or get a new length), missing ones
/// are added, others removed. A partition that is in use and would have to go or to move is Error(locked), and
/// those that are there stay all. Throws SystemError for what the kernel does not take.
DISKTOOL_API std::vector<KernelPartition> set_kernel_partitions(int disk,
                                                                const std::vector<KernelPartition>& wanted);
/// New length of one that may be mounted.
DISKTOOL_API void resize_kernel_partition(int disk, int number, Range range);

/// May there be something of that name already?
enum class OldNode {
    replace, ///< when it is a node for a loop device or a partition, or a link: an earlier one of ours
    refuse,  ///< Error(locked): somebody else is using the name
};
/// Is `path` a node of that device, or a symbolic link to `link_to`?
bool is_device_node(const std::string& path, std::uint64_t device_number, const std::string& link_to);
/// Makes `path` a node of that device (mode 0600), or, where nodes may not be made, a symbolic link to
/// `link_to`. One that is right already stays. What is neither node nor link is never replaced: Error(locked).
DISKTOOL_API void make_device_node(const std::string& path, std::uint64_t device_number,
                                   const std::string& link_to, OldNode old = OldNode::replace);

} // namespace disktool
