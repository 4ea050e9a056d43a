// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fat_filesystem.h"

#include "damage.h"
#include "fields.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace disktool::fat {

namespace {

constexpr std::size_t entry_size = 32;
/// A directory of FAT has at most this many bytes (65536 entries).
constexpr std::uint64_t directory_limit = 2 * MiB;

} // namespace

FatFilesystem::FatFilesystem(BlockDevice& device, FatGeometry fat)
    : device_(device), fat_(std::move(fat)), table_(device, fat_) {
    if (fat_.total_size > device.size())
        throw damage(device, fmt::format("its boot sector says {}, but the device has only {}",
                                         exact_size_text(fat_.total_size), exact_size_text(device.size())));
    if (!table_.media_matches())
        throw damage(device, fmt::format("its FAT (at byte {}) does not start with the media byte {:#x}",
                                         fat_.table, fat_.media));
    state_ = unclean_state(fat_.dirty || !table_.shut_down_cleanly(), table_.had_hard_errors());
    if (state_.free_map_trusted && fat_.bits == 32 && table_.entry(fat_.root_cluster) == 0)
        throw damage(device, fmt::format("its FAT calls cluster {} free, where the root directory starts",
                                         fat_.root_cluster));
}

const ExtentSet& FatFilesystem::free_clusters() {
    if (!free_)
        free_ = table_.free_clusters();
    return *free_;
}

FilesystemUsage FatFilesystem::usage() {
    FilesystemUsage usage;
    usage.size = fat_.total_size;
    usage.free = state_.free_map_trusted ? free_clusters().total() : 0;
    usage.block_size = fat_.cluster_size;
    usage.label = label();
    usage.uuid = serial_text(fat_.serial);
    return usage;
}

ExtentSet FatFilesystem::free_extents() {
    demand_trust(device_, "FAT", state_);
    return free_clusters();
}

MinimumSize FatFilesystem::minimum_size() {
    demand_trust(device_, "FAT", state_);
    return fixed_size(fat_.total_size);
}

Details FatFilesystem::details() {
    Details details = {
        {"kind", fmt::format("FAT{}", fat_.bits)},
        {"state", state_.sentence},
        {"cluster_bytes", std::uint64_t{fat_.cluster_size}},
        {"clusters", std::uint64_t{fat_.clusters}},
        {"tables", std::uint64_t{fat_.tables}},
    };
    if (const auto noted = noted_free())
        details.emplace_back("fsinfo_free_bytes", *noted);
    return details;
}

void FatFilesystem::plan_resize(Plan&, const FilesystemResize&) {
    throw unsupported(device_, fixed_size(0).sentence, Reason::capability_missing);
}

std::optional<std::string> FatFilesystem::label_in(std::uint64_t offset, std::uint64_t length, bool& ended) {
    std::vector<std::byte> bytes(length);
    device_.read(offset, bytes);
    for (std::size_t at = 0; at + entry_size <= bytes.size(); at += entry_size) {
        const auto first = load_le<std::uint8_t>(bytes, at);
        const auto attributes = load_le<std::uint8_t>(bytes, at + 11);
        if (first == 0) {
            ended = true;
            return std::nullopt;
        }
        // 0x08: a label; 0x0f: a piece of a long name; 0xe5: deleted.
        if (first != 0xe5 && (attributes & 0x3f) != 0x0f && (attributes & 0x18) == 0x08)
            return padded_text(std::span(bytes).subspan(at, 11));
    }
    return std::nullopt;
}

std::string FatFilesystem::label() {
    bool ended = false;
    std::optional<std::string> found;
    if (fat_.bits != 32) {
        found = label_in(fat_.root, fat_.root_size, ended);
    } else {
        std::optional<std::uint32_t> cluster = fat_.root_cluster;
        for (std::uint64_t seen = 0; cluster && !ended && !found && seen < directory_limit;
             seen += fat_.cluster_size) {
            found = label_in(fat_.cluster_offset(*cluster), fat_.cluster_size, ended);
            cluster = table_.next(*cluster);
        }
    }
    return found && *found != "NO NAME" ? *found : fat_.label;
}

std::optional<std::uint64_t> FatFilesystem::noted_free() {
    if (fat_.info_sector == 0)
        return std::nullopt;
    std::array<std::byte, 512> info;
    device_.read(fat_.info_sector, info);
    const auto count = load_le<std::uint32_t>(info, 488);
    const bool known = load_le<std::uint32_t>(info, 0) == 0x41615252 &&
                       load_le<std::uint32_t>(info, 484) == 0x61417272 && count <= fat_.clusters;
    if (!known)
        return std::nullopt;
    return std::uint64_t{count} * fat_.cluster_size;
}

} // namespace disktool::fat
