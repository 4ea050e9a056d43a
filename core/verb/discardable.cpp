// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/discardable.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool {

namespace {

/// GRUB's core image lies behind the MBR and behind an EBR; boot loaders of ARM boards lie at up to 16 MiB.
constexpr std::uint64_t boot_loader_area = 32 * MiB;
/// RAID, LDM and the like keep metadata in the last sectors; also what one keeps around an EBR.
constexpr std::uint64_t metadata_margin = 1 * MiB;

/// Windows dynamic volumes: the volumes' places are known to the LDM database only.
bool is_ldm(const Partition& partition) {
    return partition.type == "42" || partition.type == "5808C8AA-7E8F-42E0-85D2-E1E90434CFB3" ||
           partition.type == "AF9B60A0-1431-4F62-BC68-3311714A69AD";
}

Range clamp(std::uint64_t from, std::uint64_t to, std::uint64_t disk_size) {
    to = std::min(to, disk_size);
    return from < to ? Range{from, to - from} : Range{};
}

/// What no volume takes, and what the file systems in the volumes call free; bytes of the device.
ExtentSet free_in_volumes(Content& content, std::vector<std::string>& notes) {
    ExtentSet free = content.volumes->free_extents();
    for (std::size_t i = 0; i < content.inner.size(); ++i) {
        Content& inner = content.inner[i];
        if (inner.problem || !inner.filesystem) {
            notes.push_back(inner.problem ? inner.problem->sentence : inner.text());
            continue;
        }
        free = free.unite(
            content.volumes->to_device(content.volumes->volumes()[i], inner.filesystem->free_extents()));
    }
    return free;
}

} // namespace

ExtentSet find_gaps(const PartitionTable& table, std::uint64_t disk_size) {
    bool dynamic = std::any_of(table.partitions.begin(), table.partitions.end(), is_ldm);
    std::vector<Range> kept;
    std::uint64_t first = disk_size;
    for (const Partition& partition : table.partitions) {
        first = std::min(first, partition.range.offset);
        if (!partition.extended) {
            kept.push_back(partition.range);
        }
    }
    if (dynamic || first == disk_size) {
        return {}; // without a partition the disk may hold anything
    }
    kept.push_back(clamp(0, std::min(first, boot_loader_area), disk_size));
    kept.push_back(clamp(disk_size - std::min(disk_size, metadata_margin), disk_size, disk_size));
    for (Range area : table.areas) {
        std::uint64_t from = area.offset - std::min(area.offset, metadata_margin);
        kept.push_back(clamp(from, area.end() + metadata_margin, disk_size));
    }
    return ExtentSet::from_unsorted(std::move(kept)).complement({0, disk_size});
}

Discardable find_discardable(DiskSurvey& survey, std::uint64_t disk_size) {
    Discardable result;
    // File systems lie in disjoint partitions, in any order of number.
    std::vector<Content*> by_place;
    for (Content& content : survey.contents) {
        by_place.push_back(&content);
    }
    std::sort(by_place.begin(), by_place.end(),
              [](const Content* a, const Content* b) { return a->range.offset < b->range.offset; });
    ExtentSet free;
    for (Content* content : by_place) {
        if (content->problem || !content->opened()) {
            result.notes.push_back(content->problem ? content->problem->sentence : content->text());
            continue;
        }
        const ExtentSet found =
            content->volumes ? free_in_volumes(*content, result.notes) : content->filesystem->free_extents();
        for (Range range : found) {
            free.append({range.offset + content->range.offset, range.length});
        }
    }
    ExtentSet gaps = find_gaps(survey.table, disk_size);
    result.in_filesystems = free.total();
    result.in_gaps = gaps.total();
    result.bytes = gaps.empty() ? std::move(free) : free.unite(gaps);
    return result;
}

} // namespace disktool
