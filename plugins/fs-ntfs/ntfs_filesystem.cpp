// SPDX-License-Identifier: GPL-2.0-or-later
#include "ntfs_filesystem.h"

#include "cluster_bitmap.h"
#include "damage.h"
#include "resize.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool::ntfs {

NtfsFilesystem::NtfsFilesystem(BlockDevice& device, const BootSector& boot)
    : device_(device), cache_(device), volume_(cache_, boot), information_(read_volume_information(volume_)),
      state_(read_state(volume_, information_)) {
    if (state_.free_map_trusted)
        obstacle_ = resize_obstacle(volume_, information_.major_version, information_.minor_version);
}

/// With the backup boot sector, which follows the last sector, where the device has it.
std::uint64_t NtfsFilesystem::size() const {
    const BootSector& boot = volume_.boot();
    return std::min((boot.sectors() + 1) * boot.sector_size(), device_.size());
}

const ExtentSet& NtfsFilesystem::free() {
    if (!free_) {
        ExtentSet map = read_cluster_bitmap(volume_);
        if (state_.free_map_trusted)
            check_against_metadata(volume_, map);
        free_ = std::move(map);
    }
    return *free_;
}

FilesystemUsage NtfsFilesystem::usage() {
    FilesystemUsage usage{size(), 0, volume_.boot().cluster_size(), information_.label,
                          fmt::format("{:016X}", volume_.boot().serial())};
    try {
        usage.free = free().total();
    } catch (const Error& error) {
        if (state_.free_map_trusted || error.code() != ErrorCode::damaged)
            throw;
    }
    return usage;
}

ExtentSet NtfsFilesystem::free_extents() {
    demand_trust();
    return free();
}

MinimumSize NtfsFilesystem::minimum_size() {
    demand_trust();
    if (obstacle_.reason != Reason::none)
        return {size(), Reason::filesystem_cannot_shrink, obstacle_.sentence};
    return compute_minimum_size(shrink_bounds(volume_, free()), size());
}

Details NtfsFilesystem::details() {
    const BootSector& boot = volume_.boot();
    Details details = {
        {"version", fmt::format("{}.{}", information_.major_version, information_.minor_version)},
        {"state", state_.sentence},
        {"sector_bytes", std::uint64_t{boot.sector_size()}},
        {"mft_records", volume_.records()},
        {"mft_record_bytes", std::uint64_t{boot.record_size()}},
        {"mft_extents", std::uint64_t{volume_.mft().runs.size()}},
        {"dirty", information_.dirty()},
    };
    if (obstacle_.reason != Reason::none)
        details.emplace_back("resize_obstacle", obstacle_.sentence);
    return details;
}

Reason NtfsFilesystem::can_grow() const {
    return state_.clean() ? obstacle_.reason : state_.reason;
}

Reason NtfsFilesystem::can_shrink() const {
    return can_grow();
}

void NtfsFilesystem::demand_trust() const {
    if (!state_.free_map_trusted)
        throw Error(ErrorCode::damaged,
                    fmt::format("{}: the NTFS file system cannot be analysed as it is: {}", device_.name(),
                                state_.sentence),
                    state_.reason);
}

void NtfsFilesystem::plan_resize(Plan& plan, const FilesystemResize& request) {
    demand_trust();
    if (obstacle_.reason != Reason::none)
        throw Error(
            ErrorCode::unsupported,
            fmt::format("{}: the NTFS file system cannot be resized: {}", device_.name(), obstacle_.sentence),
            obstacle_.reason);
    const ShrinkBounds bounds = shrink_bounds(volume_, free());
    const std::uint64_t present = size();
    if (const MinimumSize least = compute_minimum_size(bounds, present);
        request.new_size < present && request.new_size < least.bytes)
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{}: the NTFS file system cannot be made {} large; its minimum is {}: {}",
                                device_.name(), exact_size_text(request.new_size), exact_size_text(least.bytes),
                                least.sentence),
                    Reason::below_minimum);
    append_resize_steps(plan, request, bounds, volume_, free());
}

} // namespace disktool::ntfs
