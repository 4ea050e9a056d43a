// SPDX-License-Identifier: LGPL-2.1-or-later
#include "merge_clusters.h"

#include "cluster_mover.h"
#include "ploop_error.h"

#include <disktool/error.h>
#include <disktool/file.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

namespace disktool::ploop {

namespace {

constexpr std::uint64_t most_at_once = 4 * MiB;
constexpr std::uint64_t most_ahead = 64 * MiB; ///< that the file is longer than it must be, meanwhile

const Delta* newest_holder(std::span<const Delta* const> newest_first, std::uint64_t cluster) {
    for (const Delta* delta : newest_first) {
        if (cluster < delta->clusters() && delta->place(cluster)) {
            return delta;
        }
    }
    return nullptr;
}

/// From a cluster on that nobody holds: how many more there are. A large disk is mostly such.
std::uint64_t gap_length(std::span<const Delta* const> newest_first, std::uint64_t first, std::uint64_t limit) {
    std::uint64_t length = limit - first;
    for (const Delta* delta : newest_first) {
        if (first < delta->clusters()) {
            length = std::min(length, delta->run(first, std::min(length, delta->clusters() - first)));
        }
    }
    return length;
}

bool has(const Delta& delta, std::uint64_t cluster) {
    return cluster < delta.clusters() && delta.place(cluster).has_value();
}

/// Clusters from `first` on that the same source holds one behind the other, and that are all there or all
/// missing in the target, so that they can be treated as one.
std::uint64_t piece_of(std::span<const Delta* const> newest_first, const Delta& source, const Delta& target,
                       std::uint64_t first, std::uint64_t limit) {
    const std::uint64_t most = std::max<std::uint64_t>(1, most_at_once / source.cluster_size());
    std::uint64_t length = source.run(first, std::min({most, limit - first, source.clusters() - first}));
    length = std::min(length, target.run(first, length));
    for (std::uint64_t next = 1; next < length; ++next) {
        if (newest_holder(newest_first, first + next) != &source) {
            return next;
        }
    }
    return length;
}

/// Where the host shares, hardly any time and no space is needed. A raw source may end within a cluster.
bool let_host_share(const Delta& source, Delta& target, std::uint64_t first, std::uint64_t length) {
    if (source.raw()) {
        return false;
    }
    const std::uint64_t from = *source.place(first);
    return target.place(first) ? target.overwrite_from(first, source.file(), from, length)
                               : target.allocate_from(first, source.file(), from, length);
}

} // namespace

MergeWork merge_work(std::span<const Delta* const> newest_first, const Delta* target, std::uint64_t limit) {
    MergeWork work;
    for (std::uint64_t cluster = 0; cluster < limit;) {
        if (newest_holder(newest_first, cluster) == nullptr) {
            cluster += gap_length(newest_first, cluster, limit);
            continue;
        }
        ++work.clusters;
        work.new_clusters += target == nullptr || !has(*target, cluster);
        ++cluster;
    }
    return work;
}

void require_one_cluster_size(std::span<const Delta* const> deltas) {
    for (const Delta* delta : deltas) {
        if (delta->cluster_size() != deltas.front()->cluster_size()) {
            throw PloopError(
                Exit::fatal_check, ErrorCode::unsupported,
                fmt::format("{} has clusters of {}, and {} of {}: images of one disk must agree, so "
                            "these cannot be merged. Check that the descriptor names the right files",
                            delta->path(), size_text(delta->cluster_size()), deltas.front()->path(),
                            size_text(deltas.front()->cluster_size())),
                Reason::image_corrupt);
        }
    }
}

void require_room(const MergeWork& work, const Delta& target, FileDoor& files) {
    const std::uint64_t needed = work.new_clusters * target.cluster_size();
    const std::uint64_t there = files.free_space(target.path());
    if (needed > there) {
        throw Error(ErrorCode::no_space,
                    fmt::format("{} needs {} more for this merge, and its file system has {} free. Nothing was "
                                "changed; make room and try again",
                                target.path(), exact_size_text(needed), exact_size_text(there)));
    }
}

void move_clusters(std::span<const Delta* const> newest_first, Delta& target, std::uint64_t limit,
                   StepContext& context) {
    const std::uint64_t cluster = target.cluster_size();
    ClusterMover mover(target, [&](std::uint64_t clusters) { context.advance(2 * clusters * cluster); });
    bool host_shares = true;
    std::uint64_t moved = 0;
    for (std::uint64_t first = 0; first < limit;) {
        const Delta* source = newest_holder(newest_first, first);
        if (source == nullptr) {
            first += gap_length(newest_first, first, limit);
            continue;
        }
        context.cancel().check();
        const std::uint64_t length = piece_of(newest_first, *source, target, first, limit);
        host_shares = host_shares && let_host_share(*source, target, first, length);
        if (host_shares) {
            context.advance(2 * length * cluster);
        } else {
            mover.move(*source, first, length);
        }
        moved += length;
        first += length;
    }
    mover.finish();
    context.report("clusters_moved", moved);
    context.report("bytes_moved", moved * cluster);
}

void merge_into(std::span<const Delta* const> newest_first, Delta& target, std::uint64_t disk_sectors,
                StepContext& context) {
    const std::uint64_t limit = divide_up(disk_sectors * sector_size, target.cluster_size());
    const MergeWork work = merge_work(newest_first, &target, limit);
    require_room(work, target, context.doors().files);
    if (!target.begun()) {
        target.begin();
    }
    const std::uint64_t old_sectors = target.disk_size() / sector_size;
    if (old_sectors < disk_sectors) {
        target.grow(disk_sectors);
    }
    target.grow_file_by(std::min(most_ahead, work.new_clusters * target.cluster_size()));
    move_clusters(newest_first, target, limit, context);
    if (old_sectors > disk_sectors) {
        target.flush();
        target.shrink(disk_sectors);
    }
    target.end();
}

} // namespace disktool::ploop
