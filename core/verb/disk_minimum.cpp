// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/disk_minimum.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool {

namespace {

/// A disk whose last partition is to end at `end`, which comes to lie on a whole MiB.
std::uint64_t disk_for_moved_end(const PartitionTable& table, std::uint64_t end) {
    return round_up(round_up(end, MiB) + table.tail, MiB);
}

/// Without a table: the end of what the disk's only content says of itself.
std::optional<std::uint64_t> whole_disk_end(const DiskSurvey& survey) {
    if (survey.contents.empty() || !survey.contents.front().usage || survey.contents.front().usage->size == 0) {
        return std::nullopt;
    }
    return survey.contents.front().usage->size;
}

/// Is it known how small the content can be, if only that it cannot be smaller?
bool known_minimum(const Content& content) {
    return !content.problem && content.minimum && content.minimum->bytes <= content.range.length;
}

Reason obstacle(const Content& content) {
    return content.filesystem ? content.filesystem->can_shrink()
                              : Reason::none; // volumes; the appliance's survey
}

} // namespace

std::uint64_t usable_end(const PartitionTable& table, std::uint64_t disk_size) {
    return round_down(disk_size - std::min(disk_size, table.tail), MiB);
}

DiskMinimum minimum_without_resize(const DiskSurvey& survey, std::uint64_t disk_size) {
    if (survey.table.type == TableType::none) {
        const std::optional<std::uint64_t> end = whole_disk_end(survey);
        if (!end) {
            return {disk_size, Reason::nothing_known,
                    survey.blank() ? "a disk with no table and nothing known on it may hold anything"
                                   : "nobody knows where its content ends"};
        }
        return {std::min(round_up(*end, MiB), disk_size), Reason::last_partition_end,
                fmt::format("{} spans {}", survey.contents.front().text(), exact_size_text(*end))};
    }
    const Partition* last = survey.table.last();
    if (last == nullptr) {
        return {disk_size, Reason::nothing_known, "a disk with an empty partition table may hold anything"};
    }
    return {std::min(round_up(last->range.end() + survey.table.tail, MiB), disk_size),
            Reason::last_partition_end,
            fmt::format("partition {} ends at {}", last->number, exact_size_text(last->range.end()))};
}

std::optional<DiskMinimum> minimum_with_resize(const DiskSurvey& survey, const Content& last,
                                               std::uint64_t disk_size) {
    if (!known_minimum(last)) {
        return std::nullopt;
    }
    const DiskMinimum fixed = minimum_without_resize(survey, disk_size);
    if (const Reason reason = obstacle(last); reason == Reason::filesystem_cannot_shrink) {
        return DiskMinimum{fixed.bytes, reason,
                           fmt::format("{}: {} ({})", last.text(), last.minimum->sentence, fixed.because)};
    } else if (reason != Reason::none) {
        return std::nullopt;
    }
    const std::uint64_t end = last.range.offset + last.minimum->bytes;
    const std::uint64_t needed =
        survey.table.type == TableType::none ? round_up(end, MiB) : disk_for_moved_end(survey.table, end);
    // A partition that ends between two MiB may need less without being moved than with it.
    if (needed >= fixed.bytes) {
        return fixed;
    }
    return DiskMinimum{needed, last.minimum->reason,
                       fmt::format("{} starts at {} and needs {}: {}", last.text(),
                                   exact_size_text(last.range.offset), exact_size_text(last.minimum->bytes),
                                   last.minimum->sentence)};
}

} // namespace disktool
