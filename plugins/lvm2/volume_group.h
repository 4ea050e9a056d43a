// SPDX-License-Identifier: LGPL-2.1-or-later
// A volume group as its metadata text describes it, checked: every number in bounds, no extent given twice.
//
// Format: the text metadata of lvm2 (lib/format_text/{import_vsn1,flags}.c, man vgcfgbackup). Extents are
// counted from pe_start of their physical volume; sizes are in sectors of 512 bytes.
#pragma once

#include "metadata_area.h"

#include <disktool/block_device.h>
#include <disktool/reason.h>

#include <cstdint>
#include <string>
#include <vector>

namespace disktool::lvm2 {

struct PhysicalVolume {
    std::string name;   ///< within the metadata: "pv0"
    std::string uuid;   ///< without hyphens
    std::string device; ///< where LVM last saw it: "/dev/sda2"
    bool missing = false;
    bool allocatable = true;
    std::uint64_t start = 0; ///< bytes from the start of the device to the first extent
    std::uint64_t extents = 0;
};

/// Extents of the one physical volume.
struct Area {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
};

struct Segment {
    std::uint64_t first = 0; ///< extent of the logical volume
    std::uint64_t count = 0;
    std::string kind;                    ///< "striped", "thin-pool", ...: the part before a '+'
    std::uint64_t stripe_size = 0;       ///< bytes; 0: one stripe
    std::vector<Area> areas;             ///< what it has of the physical volume, stripe by stripe
    std::vector<std::string> references; ///< names of other logical volumes that it needs

    /// Do its areas, stripe by stripe, hold its content and nothing else?
    bool plain() const { return kind == "striped" && references.empty(); }
};

struct LogicalVolume {
    std::string name;
    bool visible = false;
    bool writable = false;
    bool skips_activation = false;
    std::vector<Segment> segments; ///< by `first`, without gaps
    std::string problem;           ///< why its content cannot be reached, as in Volume
    Reason reason = Reason::none;

    bool plain() const;
    bool linear() const;
};

struct VolumeGroup {
    std::string name;
    std::string uuid;
    std::uint64_t sequence = 0;
    std::uint64_t extent_size = 0; ///< bytes
    std::string system;            ///< the one host that may use it; empty: any
    bool exported = false;
    bool writable = true;
    PhysicalVolume own; ///< the one that lies on our device
    std::vector<LogicalVolume> volumes;

    /// What volumes have of the physical volume, by `first`.
    std::vector<Area> allocated() const;
};

/// The group's name and sequence number, to choose between several texts. Throws damage.
std::uint64_t sequence_of(const BlockDevice& device, const MetadataText& metadata);

/// `uuid` is the label's. Throws damage, and unsupported for a group on several devices, one that several hosts
/// share, one within a pvmove, and flags that are not known.
VolumeGroup read_volume_group(const BlockDevice& device, const MetadataText& metadata, const std::string& uuid);

} // namespace disktool::lvm2
