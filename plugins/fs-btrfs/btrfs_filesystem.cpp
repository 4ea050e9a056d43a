// SPDX-License-Identifier: LGPL-2.1-or-later
#include "btrfs_filesystem.h"

#include "damage.h"
#include "free_map.h"
#include "layout.h"
#include "minimum_size.h"
#include "state.h"

#include <disktool/disk_text.h>

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

namespace disktool::btrfs {

BtrfsFilesystem::BtrfsFilesystem(BlockDevice& device, Superblock super)
    : device_(device), super_(std::move(super)), mirrors_(read_mirrors(device, super_)),
      state_(read_state(super_, mirrors_)), reader_(device, super_, chunks_) {
    if (!state_.free_map_trusted)
        return;
    chunks_ = read_chunks(device, super_);
    check_device_tree(device, super_, chunks_, reader_);
    used_ = read_used(device, super_, chunks_, reader_);
    balance_ = reader_.find(super_.root, {object::balance, item::temporary, 0}).has_value();
}

FilesystemUsage BtrfsFilesystem::usage() {
    const std::uint64_t free = state_.free_map_trusted
                                   ? free_bytes(super_, chunks_, used_)
                                   : super_.device_bytes - std::min(super_.device_bytes, super_.bytes_used);
    return {super_.device_bytes, free, super_.sector_size, super_.label, uuid_text(super_.fsid)};
}

bool BtrfsFilesystem::uses_free_space_tree() const {
    return super_.has(read_only_compatible::free_space_tree) &&
           super_.has(read_only_compatible::free_space_tree_valid);
}

ExtentSet BtrfsFilesystem::free_extents() {
    if (!uses_free_space_tree())
        return free_extents_by_extent_tree();
    demand_trust();
    return mapped(read_free_space_tree(device_, super_, chunks_, reader_));
}

ExtentSet BtrfsFilesystem::free_extents_by_extent_tree() {
    demand_trust();
    return mapped(read_extent_tree(device_, super_, chunks_, reader_));
}

ExtentSet BtrfsFilesystem::mapped(const FreeSpace& free) const {
    check_free_space(free, chunks_, used_, device_);
    return free_map(free, super_, chunks_);
}

MinimumSize BtrfsFilesystem::minimum_size() {
    demand_trust();
    if (balance_)
        return {
            super_.device_bytes, Reason::filesystem_cannot_shrink,
            "a balance of it was interrupted and goes on when it is mounted; let it end or cancel it (btrfs "
            "balance cancel) in the guest"};
    return compute_minimum_size(super_, chunks_, used_,
                                [this](std::size_t chunk) { return longest_extent(chunk); });
}

std::uint64_t BtrfsFilesystem::longest_extent(std::size_t chunk) {
    const Chunk& place = chunks_.chunks()[chunk];
    const std::optional<TreeRoot> root = reader_.tree(tree::extent);
    if (!root)
        throw damage(device_, "its extent tree is missing");
    std::uint64_t longest = 0;
    reader_.walk(*root, {place.logical, 0, 0}, {place.end() - 1, 0xff, ~0ull},
                 [&](const Key& key, std::span<const std::byte>) {
                     if (key.type == item::extent)
                         longest = std::max(longest, key.offset);
                 });
    return longest;
}

Details BtrfsFilesystem::details() {
    Details details = {
        {"features", super_.features()},
        {"checksum", name(super_.checksum_type)},
        {"state", state_.sentence},
        {"generation", std::uint64_t{super_.generation}},
        {"node_bytes", std::uint64_t{super_.node_size}},
        {"device_number", std::uint64_t{super_.device_id}},
        {"superblock_mirrors", std::uint64_t{mirrors_.good}},
    };
    if (!state_.free_map_trusted)
        return details;
    std::set<std::string> profiles;
    std::uint64_t allocated = 0;
    for (const Chunk& chunk : chunks_.chunks()) {
        profiles.insert(type_text(chunk.type));
        allocated += chunk.length * chunk.copies;
    }
    std::string text;
    for (const std::string& profile : profiles)
        text += (text.empty() ? "" : "; ") + profile;
    details.emplace_back("profiles", text);
    details.emplace_back("chunks", std::uint64_t{chunks_.chunks().size()});
    details.emplace_back("allocated_bytes", allocated);
    details.emplace_back("free_map", std::string(uses_free_space_tree() ? "free-space tree" : "extent tree"));
    details.emplace_back("balance", std::string(balance_ ? "interrupted" : "none"));
    return details;
}

// The kernel goes on with an interrupted balance when it mounts, and refuses to resize beside it.
Reason BtrfsFilesystem::can_grow() const {
    return balance_ ? Reason::filesystem_dirty : Reason::none;
}

Reason BtrfsFilesystem::can_shrink() const {
    return balance_ ? Reason::filesystem_dirty : Reason::none;
}

void BtrfsFilesystem::demand_trust() const {
    if (!state_.free_map_trusted)
        throw Error(ErrorCode::damaged,
                    fmt::format("{}: the btrfs file system cannot be analysed as it is: {}", device_.name(),
                                state_.sentence),
                    state_.reason);
}

} // namespace disktool::btrfs
