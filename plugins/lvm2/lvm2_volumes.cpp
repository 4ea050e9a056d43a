// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lvm2_volumes.h"

#include "damage.h"
#include "volume_device.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace disktool::lvm2 {

namespace {

constexpr std::uint64_t default_extent_size = 4 * MiB;
/// pvresize takes no less (devices/pv_min_size in lvm.conf).
constexpr std::uint64_t least_size = 2 * MiB;
/// pvresize puts the second metadata area on a boundary of pages.
constexpr std::uint64_t end_alignment = 4 * KiB;

} // namespace

Lvm2Volumes::Lvm2Volumes(BlockDevice& device) : device_(device), label_(read_label(device)) {
    if (label_.data_areas.size() != 1)
        throw damage(device, fmt::format("its label (at byte {}) names {} data areas", label_.offset,
                                         label_.data_areas.size()));
    choose_metadata();
    if (!group_)
        return;
    check_places();
    make_volumes();
}

/// Of several metadata areas the one with the highest sequence number counts, as for LVM.
void Lvm2Volumes::choose_metadata() {
    std::optional<MetadataText> best;
    std::uint64_t best_sequence = 0;
    bool ignored = false;
    bool empty = false;
    for (const Range& area : label_.metadata_areas) {
        MetadataText text = read_metadata_area(device_, area);
        ignored |= text.status == MetadataText::Status::ignored;
        empty |= text.status == MetadataText::Status::empty;
        if (text.status == MetadataText::Status::damaged)
            defects_.push_back(std::move(text.defect));
        if (text.status != MetadataText::Status::present)
            continue;
        const std::uint64_t sequence = sequence_of(device_, text);
        if (!best || sequence > best_sequence) {
            best = std::move(text);
            best_sequence = sequence;
        }
    }
    if (best) {
        group_ = read_volume_group(device_, *best, label_.uuid);
        return;
    }
    if (!defects_.empty())
        throw damage(device_, defects_.front());
    if (ignored || !empty || label_.used.value_or(false))
        throw unsupported(device_,
                          "the physical volume belongs to a volume group whose metadata is kept on other disks "
                          "only; disktool works on one disk at a time, so free space in it must be given back "
                          "from within the guest (fstrim)",
                          Reason::several_devices);
}

void Lvm2Volumes::check_places() const {
    const PhysicalVolume& own = group_->own;
    if (own.start > device_.size() || own.extents > (device_.size() - own.start) / group_->extent_size)
        throw damage(device_,
                     fmt::format("the volume group {} has {} extents of {} bytes from byte {} on, but the "
                                 "device has only {}",
                                 group_->name, own.extents, group_->extent_size, own.start, device_.size()));
    const Range extents{own.start, own.extents * group_->extent_size};
    ExtentSet reserved(Range{0, label_sectors * sector_size});
    for (const std::vector<Range>* list : {&label_.metadata_areas, &label_.bootloader_areas})
        for (const Range& area : *list)
            reserved = reserved.unite(ExtentSet(area));
    if (const ExtentSet both = reserved.clip(extents); !both.empty())
        throw damage(device_,
                     fmt::format("its extents (from byte {} on) overlap its label or metadata at byte {}",
                                 extents.offset, both.span().offset));
}

void Lvm2Volumes::make_volumes() {
    const VolumeGroup& group = *group_;
    volumes_.reserve(group.volumes.size()); // the devices refer to the segments in it
    const bool group_writable =
        !group.exported && group.writable && group.system.empty() && group.own.allocatable;
    std::uint64_t last_end = 0;
    for (const LogicalVolume& logical : group.volumes) {
        if (std::ranges::all_of(logical.segments, [](const Segment& s) { return s.kind == "snapshot"; }))
            continue; // only ties a snapshot to its origin, both of which are volumes of their own
        Volume volume;
        volume.name = fmt::format("{}/{}", group.name, logical.name);
        volume.appliance_device = fmt::format("/dev/{}/{}", group.name, logical.name);
        volume.problem = logical.problem;
        volume.reason = logical.reason;
        if (logical.plain())
            volume.segments = place(logical, group);
        if (logical.plain() && volume.segments.empty() && volume.problem.empty()) {
            volume.problem = "is striped into too many pieces";
            volume.reason = Reason::volume_kind;
        }
        volume.resizable = volume.problem.empty() && logical.linear() && logical.writable &&
                           !logical.skips_activation && group_writable;
        for (const Segment& segment : logical.segments)
            for (const Area& area : segment.areas)
                if (area.first + area.count > last_end) {
                    last_end = area.first + area.count;
                    last_volume_ = static_cast<int>(volumes_.size());
                }
        volumes_.push_back(std::move(volume));
        Volume& kept = volumes_.back();
        if (kept.problem.empty()) {
            devices_.push_back(std::make_unique<VolumeDevice>(
                device_, kept.segments, fmt::format("{} volume {}", device_.name(), kept.name),
                logical.writable));
            kept.device = devices_.back().get();
        }
    }
}

FilesystemState Lvm2Volumes::state() {
    FilesystemState state;
    state.sentence = !group_             ? "clean, in no volume group"
                     : !defects_.empty() ? "usable, but one copy of its metadata is damaged"
                     : group_->exported  ? "clean, exported"
                                         : "clean";
    return state;
}

Range Lvm2Volumes::end_metadata() const {
    const std::uint64_t start = first_extent();
    for (const Range& area : label_.metadata_areas)
        if (area.offset > start)
            return area;
    return {};
}

std::uint64_t Lvm2Volumes::end() const {
    if (!group_)
        return device_.size();
    return std::max(group_->own.start + group_->own.extents * group_->extent_size, end_metadata().end());
}

FilesystemUsage Lvm2Volumes::usage() {
    FilesystemUsage usage;
    usage.size = end();
    usage.free = free_extents().total();
    usage.block_size = sector_size;
    usage.label = group_ ? group_->name : "";
    usage.uuid = uuid_text(label_.uuid);
    return usage;
}

ExtentSet Lvm2Volumes::free_extents() {
    // A physical volume in no group may be one that is being restored (pvcreate --restorefile, then
    // vgcfgrestore): what lies on it is then wanted.
    if (!group_)
        return {};
    const VolumeGroup& group = *group_;
    ExtentSet used;
    for (const Area& area : group.allocated())
        used.append({group.own.start + area.first * group.extent_size, area.count * group.extent_size});
    return used.complement({group.own.start, group.own.extents * group.extent_size});
}

/// Empty where LVM would let its size change.
std::string Lvm2Volumes::why_fixed() const {
    if (!group_)
        return "the physical volume belongs to no volume group, and what lies on it is not known";
    if (group_->exported)
        return fmt::format("the volume group {} is exported, and LVM changes nothing of it", group_->name);
    if (!group_->writable)
        return fmt::format("the volume group {} is read-only", group_->name);
    if (!group_->system.empty())
        return fmt::format("the volume group {} may be changed only by the host that owns it (its system_id)",
                           group_->name);
    if (!defects_.empty())
        return fmt::format("{}; let LVM repair it first (vgck --updatemetadata)", defects_.front());
    return {};
}

MinimumSize Lvm2Volumes::minimum_size() {
    if (std::string obstacle = why_fixed(); !obstacle.empty())
        return {end(), Reason::filesystem_cannot_shrink, std::move(obstacle)};
    const VolumeGroup& group = *group_;
    std::uint64_t extents = 1; // pvresize leaves at least one
    for (const Area& area : group.allocated())
        extents = std::max(extents, area.first + area.count);
    std::uint64_t bytes = group.own.start + extents * group.extent_size;
    std::string sentence = fmt::format("the last extent in use of the volume group {} ends there", group.name);
    if (const Range tail = end_metadata(); !tail.empty()) {
        bytes = round_up(bytes + tail.length, end_alignment);
        sentence += ", and the second copy of its metadata lies behind it";
    }
    if (bytes < least_size) {
        bytes = least_size;
        sentence = "LVM makes no smaller physical volumes";
    }
    return {std::min(bytes, end()), Reason::used_blocks, std::move(sentence)};
}

std::uint64_t Lvm2Volumes::extent_size() const {
    return group_ ? group_->extent_size : default_extent_size;
}

std::uint64_t Lvm2Volumes::first_extent() const {
    return group_ ? group_->own.start : label_.data_areas.front().offset;
}

Details Lvm2Volumes::details() {
    Details details = {{"state", state().sentence}};
    if (!group_)
        return details;
    details.emplace_back("volume_group", group_->name);
    details.emplace_back("volume_group_uuid", uuid_text(group_->uuid));
    details.emplace_back("sequence", group_->sequence);
    details.emplace_back("extent_bytes", group_->extent_size);
    details.emplace_back("extents", group_->own.extents);
    details.emplace_back("metadata_areas", std::uint64_t{label_.metadata_areas.size()});
    if (!defects_.empty())
        details.emplace_back("metadata_damage", defects_.front());
    return details;
}

} // namespace disktool::lvm2
