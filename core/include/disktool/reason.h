// SPDX-License-Identifier: LGPL-2.1-or-later
// Named reasons: why something is refused, or why a bound is what it is. A sentence belongs to each.
#pragma once

#include <disktool/api.h>

#include <cstdint>
#include <string_view>

namespace disktool {

enum class Reason : std::uint32_t {
    none = 0,
    // of images
    format_not_supported,
    format_guessed,        ///< a format that is recognised by nothing (raw) is never written to
    feature_not_supported, ///< an incompatible feature bit, a compression or encryption method
    encrypted,
    image_dirty,
    image_corrupt,
    internal_snapshots,
    external_data_file,
    backing_outside_gate,
    backing_missing,
    backing_loop,
    backing_protocol, ///< a backing name such as json:... or nbd:...
    image_in_use,
    // of disks
    no_partition_table,
    table_damaged,
    table_not_supported,
    partitions_overlap,
    partition_beyond_end,
    // of file systems
    filesystem_not_supported,
    filesystem_damaged,
    filesystem_dirty,
    journal_needs_replay,
    filesystem_has_errors,
    filesystem_being_checked,
    filesystem_full_to_size, ///< the minimum is the present size
    filesystem_cannot_shrink,
    used_blocks, ///< the minimum is what the used blocks and the metadata need
    last_partition_end,
    several_devices, ///< a file system or volume group that spans more than this disk
    volume_kind,     ///< a thin volume, a cache, a mirror, ...: only plain ones are known
    hibernated,      ///< a system sleeps in it, which will write as if nothing had happened
    appended_data,   ///< something that is known to nobody lies behind what is known
    // of requests
    would_shrink,
    below_minimum, ///< smaller than what is on the disk can be made
    no_room,       ///< a neighbour is in the way
    nothing_known, ///< a disk without table and without known content may hold anything
    merge_shared,  ///< another image still uses the backing file
    size_too_large,
    capability_missing,
    program_missing,
    appliance_unavailable,
    engine_native_only,
    job_interrupted,
    job_not_recoverable,
};

/// The reason's name for machines: "internal_snapshots". "" for Reason::none.
DISKTOOL_API std::string_view name(Reason reason);
/// One sentence for people, without the particulars (path, size), which the error adds.
DISKTOOL_API std::string_view sentence(Reason reason);

} // namespace disktool
