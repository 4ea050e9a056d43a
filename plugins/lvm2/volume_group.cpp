// SPDX-License-Identifier: LGPL-2.1-or-later
#include "volume_group.h"

#include "damage.h"
#include "label.h"
#include "metadata_reader.h"
#include "volume_kind.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>

namespace disktool::lvm2 {

namespace {

constexpr std::uint64_t any_u32 = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t any_number = std::numeric_limits<std::int64_t>::max();

bool has(const std::vector<std::string>& flags, std::string_view flag) {
    return std::ranges::find(flags, flag) != flags.end();
}

/// LVM itself refuses status flags that it does not know; those of "flags" are harmless ones by its rules.
void refuse_unknown_status(const MetadataReader& reader, const std::vector<std::string>& status,
                           const std::string& owner) {
    static constexpr std::array<std::string_view, 16> known{
        "READ",   "WRITE",  "RESIZEABLE", "VISIBLE", "EXPORTED",  "ALLOCATABLE", "MISSING",     "FIXED_MINOR",
        "PVMOVE", "LOCKED", "CLUSTERED",  "SHARED",  "NOTSYNCED", "REBUILD",     "WRITEMOSTLY", "PARTIAL"};
    for (const std::string& flag : status) {
        if (std::ranges::find(known, flag) != known.end())
            continue;
        const bool printable =
            std::ranges::all_of(flag, [](char c) { return (c >= 'A' && c <= 'Z') || c == '_'; });
        throw unsupported(reader.device(),
                          fmt::format("{} has the status {}, which disktool does not know; a newer version may",
                                      owner, printable ? "\"" + flag + "\"" : "of another kind"),
                          Reason::feature_not_supported);
    }
}

PhysicalVolume read_physical_volume(const MetadataReader& reader, const ConfigNode& node) {
    reader.check_name(node.name);
    PhysicalVolume volume;
    volume.name = node.name;
    volume.uuid = reader.uuid(node);
    volume.device = reader.optional_text(node, "device");
    for (char& c : volume.device)
        if (c < 0x20 || c > 0x7e)
            c = '?';
    const std::vector<std::string> status = reader.texts(node, "status");
    refuse_unknown_status(reader, status, fmt::format("the physical volume {}", node.name));
    volume.missing = has(status, "MISSING") || has(reader.texts(node, "flags"), "MISSING");
    volume.allocatable = has(status, "ALLOCATABLE");
    volume.start = reader.number(node, "pe_start", any_number / sector_size) * sector_size;
    volume.extents = reader.number(node, "pe_count", any_u32);
    return volume;
}

void refuse_several(const MetadataReader& reader, const std::string& group,
                    const std::vector<PhysicalVolume>& volumes, const std::string& uuid) {
    std::string names;
    for (const PhysicalVolume& volume : volumes)
        names += fmt::format("{}{}{}{}", names.empty() ? "" : ", ",
                             volume.device.empty() ? volume.name : volume.device,
                             volume.uuid == uuid ? " (this one)" : "", volume.missing ? " (missing)" : "");
    throw unsupported(
        reader.device(),
        fmt::format("the volume group {} spans {} physical volumes: {}; disktool works on one disk "
                    "at a time, so free space in it must be given back from within the guest "
                    "(fstrim)",
                    group, volumes.size(), names),
        Reason::several_devices);
}

PhysicalVolume own_volume(const MetadataReader& reader, const ConfigNode& group, const std::string& uuid) {
    std::vector<PhysicalVolume> volumes;
    for (const ConfigNode& child : reader.section(group, "physical_volumes").children)
        volumes.push_back(read_physical_volume(reader, child));
    if (std::ranges::find(volumes, uuid, &PhysicalVolume::uuid) == volumes.end())
        throw reader.damaged(
            fmt::format("does not name this physical volume ({}) as one of its own", uuid_text(uuid)));
    if (volumes.size() != 1)
        refuse_several(reader, group.name, volumes, uuid);
    if (volumes.front().missing)
        throw unsupported(reader.device(),
                          fmt::format("the volume group {} takes this disk for missing; put that right in the "
                                      "guest (vgextend --restoremissing)",
                                      group.name),
                          Reason::several_devices);
    return volumes.front();
}

class SegmentReader {
  public:
    SegmentReader(const MetadataReader& reader, const VolumeGroup& group, const ConfigNode& volumes)
        : reader_(reader), group_(group) {
        for (const ConfigNode& volume : volumes.children)
            names_.emplace(volume.name, true);
    }

    Segment read(const ConfigNode& node) const {
        Segment segment;
        segment.first = reader_.number(node, "start_extent", any_u32);
        segment.count = reader_.number(node, "extent_count", any_u32);
        segment.kind = reader_.text(node, "type");
        segment.kind.resize(std::min(segment.kind.find('+'), segment.kind.size()));
        if (segment.kind == "linear") // an old name
            segment.kind = "striped";
        if (segment.kind == "striped")
            read_stripes(segment, node);
        else
            read_others(segment, node);
        return segment;
    }

  private:
    /// Pairs of the name of a physical (or logical) volume and the first extent on it.
    void read_areas(Segment& segment, const ConfigNode& list, std::uint64_t length) const {
        for (std::size_t i = 0; i + 1 < list.values.size(); i += 2) {
            const std::string* name = std::get_if<std::string>(&list.values[i]);
            const std::int64_t* first = std::get_if<std::int64_t>(&list.values[i + 1]);
            if (name == nullptr || first == nullptr)
                throw reader_.damaged(fmt::format("has a list \"{}\" that is not one of places", list.name));
            // A logical volume may have the name that a physical one has in the text; LVM looks for that one
            // first.
            if (*name != group_.own.name) {
                if (!names_.contains(*name))
                    throw reader_.damaged(
                        fmt::format("has a list \"{}\" that names an unknown volume", list.name));
                segment.references.push_back(*name);
                continue;
            }
            if (*first < 0 || static_cast<std::uint64_t>(*first) > group_.own.extents ||
                length > group_.own.extents - static_cast<std::uint64_t>(*first))
                throw reader_.damaged(
                    fmt::format("has a segment of {} extents from {} on, but the physical volume "
                                "has {}",
                                length, *first, group_.own.extents));
            segment.areas.push_back({static_cast<std::uint64_t>(*first), length});
        }
    }

    void read_stripes(Segment& segment, const ConfigNode& node) const {
        const std::uint64_t count = reader_.number(node, "stripe_count", any_u32);
        const ConfigNode* list = node.find("stripes");
        if (list == nullptr || count == 0 || list->values.size() != count * 2 || segment.count % count != 0)
            throw reader_.damaged(fmt::format("has a segment of {} extents in {} stripes that makes no sense",
                                              segment.count, count));
        read_areas(segment, *list, segment.count / count);
        if (count > 1)
            segment.stripe_size = reader_.number(node, "stripe_size", any_u32) * sector_size;
        // A stripe's last chunk may be cut short only where the extents are not whole chunks, which LVM
        // forbids.
        if (count > 1 && (segment.stripe_size == 0 || group_.extent_size % segment.stripe_size != 0))
            throw reader_.damaged(fmt::format("has stripes of {} bytes in extents of {}", segment.stripe_size,
                                              group_.extent_size));
    }

    /// A mirror has its areas on physical volumes, all other kinds are made of volumes. Every string that is a
    /// volume's name is taken for a reference.
    void read_others(Segment& segment, const ConfigNode& node) const {
        for (const ConfigNode& child : node.children) {
            if (child.name == "mirrors" && segment.kind == "mirror") {
                if (child.values.size() % 2 != 0)
                    throw reader_.damaged("has a mirror that makes no sense");
                read_areas(segment, child, segment.count);
                continue;
            }
            if (child.name == "type" || child.name == "tags")
                continue;
            for (std::size_t i = 0; i < child.values.size(); ++i) {
                const std::string* name = std::get_if<std::string>(&child.values[i]);
                if (name == nullptr)
                    continue;
                const bool place =
                    i + 1 < child.values.size() && std::holds_alternative<std::int64_t>(child.values[i + 1]);
                if (*name == group_.own.name && (place || !names_.contains(*name)))
                    throw unsupported(
                        reader_.device(),
                        fmt::format("the volume group {} has a segment of the kind \"{}\" straight "
                                    "on the disk, which disktool does not know; a newer version may",
                                    group_.name, shown_kind(segment.kind)),
                        Reason::volume_kind);
                if (names_.contains(*name))
                    segment.references.push_back(*name);
            }
        }
    }

    const MetadataReader& reader_;
    const VolumeGroup& group_;
    std::map<std::string, bool, std::less<>> names_;
};

LogicalVolume read_logical_volume(const MetadataReader& reader, const SegmentReader& segments,
                                  const ConfigNode& node) {
    reader.check_name(node.name);
    LogicalVolume volume;
    volume.name = node.name;
    const std::vector<std::string> status = reader.texts(node, "status");
    const std::vector<std::string> flags = reader.texts(node, "flags");
    refuse_unknown_status(reader, status, fmt::format("the volume {}", node.name));
    if (has(status, "PVMOVE") || has(status, "LOCKED"))
        throw unsupported(
            reader.device(),
            fmt::format("a pvmove is at work in the volume group (on {}); let it finish in the guest, "
                        "or give it up there (pvmove --abort)",
                        node.name),
            Reason::volume_kind);
    volume.visible = has(status, "VISIBLE");
    volume.writable = has(status, "WRITE");
    volume.skips_activation = has(flags, "ACTIVATION_SKIP") || has(status, "ACTIVATION_SKIP");
    const std::uint64_t count = reader.number(node, "segment_count", any_u32);
    for (const ConfigNode& child : node.children)
        if (child.section)
            volume.segments.push_back(segments.read(child));
    if (volume.segments.size() != count)
        throw reader.damaged(
            fmt::format("gives {} {} segments and says {}", node.name, volume.segments.size(), count));
    std::ranges::sort(volume.segments, {}, &Segment::first);
    std::uint64_t next = 0;
    for (const Segment& segment : volume.segments) {
        if (segment.first != next || segment.count == 0)
            throw reader.damaged(fmt::format("has a gap or an overlap in the segments of {}", node.name));
        next = segment.first + segment.count;
    }
    return volume;
}

void check_group(const MetadataReader& reader, const ConfigNode& node, VolumeGroup& group) {
    const std::vector<std::string> status = reader.texts(node, "status");
    refuse_unknown_status(reader, status, fmt::format("the volume group {}", group.name));
    group.exported = has(status, "EXPORTED");
    group.writable = has(status, "WRITE");
    const std::string lock = reader.optional_text(node, "lock_type");
    if (has(status, "CLUSTERED") || has(status, "SHARED") || (!lock.empty() && lock != "none"))
        throw unsupported(
            reader.device(),
            fmt::format("the volume group {} is one that several hosts share at a time (clustered, or "
                        "with a lock_type); disktool cannot know what the others do to it",
                        group.name),
            Reason::feature_not_supported);
}

void check_overlap(const MetadataReader& reader, const VolumeGroup& group) {
    std::uint64_t end = 0;
    for (const Area& area : group.allocated()) {
        if (area.first < end)
            throw reader.damaged(fmt::format("gives extent {} to two volumes", area.first));
        end = area.first + area.count;
    }
}

} // namespace

bool LogicalVolume::plain() const {
    return !segments.empty() && std::ranges::all_of(segments, &Segment::plain);
}

bool LogicalVolume::linear() const {
    return plain() && std::ranges::all_of(segments, [](const Segment& s) { return s.areas.size() == 1; });
}

std::vector<Area> VolumeGroup::allocated() const {
    std::vector<Area> areas;
    for (const LogicalVolume& volume : volumes)
        for (const Segment& segment : volume.segments)
            areas.insert(areas.end(), segment.areas.begin(), segment.areas.end());
    std::ranges::sort(areas, {}, &Area::first);
    return areas;
}

std::uint64_t sequence_of(const BlockDevice& device, const MetadataText& metadata) {
    const MetadataReader reader(device, metadata);
    const ConfigNode root = reader.parse();
    return reader.number(reader.group(root), "seqno", any_number);
}

VolumeGroup read_volume_group(const BlockDevice& device, const MetadataText& metadata,
                              const std::string& uuid) {
    const MetadataReader reader(device, metadata);
    const ConfigNode root = reader.parse();
    const ConfigNode& node = reader.group(root);
    VolumeGroup group;
    group.name = node.name;
    group.uuid = reader.uuid(node);
    group.sequence = reader.number(node, "seqno", any_number);
    group.system = reader.optional_text(node, "system_id");
    group.extent_size = reader.number(node, "extent_size", any_u32) * sector_size;
    if (group.extent_size == 0)
        throw reader.damaged("says that extents have no size");
    check_group(reader, node, group);
    group.own = own_volume(reader, node, uuid);

    const ConfigNode* volumes = node.find("logical_volumes");
    if (volumes != nullptr) {
        const SegmentReader segments(reader, group, *volumes);
        for (const ConfigNode& child : volumes->children)
            group.volumes.push_back(read_logical_volume(reader, segments, child));
    }
    check_overlap(reader, group);
    name_problems(group);
    return group;
}

} // namespace disktool::lvm2
