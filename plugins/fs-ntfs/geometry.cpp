// SPDX-License-Identifier: GPL-2.0-or-later
#include "geometry.h"

#include "damage.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool::ntfs {

namespace {

constexpr std::uint64_t least_margin = 100 * MiB;
constexpr std::uint64_t margin_divisor = 100; ///< 1 % of what is used

} // namespace

ResizeObstacle resize_obstacle(const Volume& volume, unsigned major_version, unsigned minor_version) {
    if (!(major_version == 3 && minor_version <= 1) && !(major_version == 1 && minor_version == 2))
        return {Reason::feature_not_supported,
                fmt::format("NTFS version {}.{} is not known to ntfsresize", major_version, minor_version)};
    const AttributeData bitmap = volume.need(bitmap_file, AttributeType::data);
    if (bitmap.resident || bitmap.in_list)
        return {Reason::filesystem_cannot_shrink,
                "its $Bitmap lies in too many pieces for ntfsresize; defragment it in Windows"};
    const AttributeData bad = volume.need(bad_cluster_file, AttributeType::data, "$Bad");
    if (bad.resident || bad.in_list || std::ranges::any_of(bad.runs, &Run::stored))
        return {
            Reason::filesystem_cannot_shrink,
            "it has clusters marked as bad, which a copied disk no longer has; let Windows look at them again: "
            "chkdsk /b"};
    return {};
}

std::optional<std::uint64_t> ShrinkBounds::clusters_for(std::uint64_t size) const {
    if (size / cluster_size < 2)
        return std::nullopt;
    std::uint64_t count = size / cluster_size - 1;
    if (count >= clusters)
        return count;
    if (count > mirror && count < mirror_end)
        count = mirror;
    if (count <= used || (!mirror_movable && count < mirror_end))
        return std::nullopt;
    return count;
}

ShrinkBounds shrink_bounds(const Volume& volume, const ExtentSet& free) {
    const AttributeData mirror = volume.need(mirror_file, AttributeType::data);
    if (mirror.resident || mirror.sparse)
        throw damage(volume.device(), "MFT record 1 does not say where the MFT's mirror lies");
    const BootSector& boot = volume.boot();
    ShrinkBounds bounds;
    bounds.cluster_size = boot.cluster_size();
    bounds.clusters = boot.clusters();
    bounds.used = boot.clusters() - free.total() / boot.cluster_size();
    bounds.mirror = mirror.runs.front().lcn;
    bounds.mirror_movable = mirror.runs.size() == 1 && !mirror.in_list;
    for (const Run& run : mirror.runs)
        bounds.mirror_end = std::max(bounds.mirror_end, run.lcn + run.length);
    return bounds;
}

MinimumSize compute_minimum_size(const ShrinkBounds& bounds, std::uint64_t size) {
    const std::uint64_t cluster = bounds.cluster_size;
    const std::uint64_t used = bounds.used * cluster;
    const std::uint64_t margin = std::max(least_margin, used / margin_divisor);
    const std::uint64_t needed = bounds.mirror_movable ? bounds.used : std::max(bounds.used, bounds.mirror_end);
    // One cluster for the backup boot sector.
    const std::uint64_t bytes = round_up((needed + 1) * cluster + margin, MiB);
    if (bytes >= size)
        return {size, Reason::filesystem_full_to_size,
                fmt::format("{} are in use, and with a margin of {} nothing is left to cut off",
                            size_text(used), size_text(margin))};
    const char* why = needed > bounds.used ? " (and its MFT mirror, in pieces, cannot be moved)" : "";
    return {bytes, Reason::used_blocks,
            fmt::format(
                "{} are in use{}, plus a margin of {}, since NTFS shrunk to the last cluster often cannot be "
                "moved or mounted by Windows",
                size_text(used), why, size_text(margin))};
}

} // namespace disktool::ntfs
