// SPDX-License-Identifier: LGPL-2.1-or-later
#include "xfs_filesystem.h"

#include "free_map.h"
#include "state.h"

#include <disktool/disk_text.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool::xfs {

XfsFilesystem::XfsFilesystem(BlockDevice& device, const Superblock& super)
    : device_(device), super_(super), state_(read_state(device, super)) {
    if (state_.free_map_trusted)
        groups_ = read_groups(device, super);
}

FilesystemUsage XfsFilesystem::usage() {
    return {super_.size(), free_blocks() * super_.block_size, super_.block_size, disk_text(super_.label),
            uuid_text(super_.uuid)};
}

ExtentSet XfsFilesystem::free_extents() {
    demand_trust();
    return free_map(device_, super_, groups_);
}

MinimumSize XfsFilesystem::minimum_size() {
    demand_trust();
    return {super_.size(), Reason::filesystem_cannot_shrink,
            fmt::format("XFS cannot shrink, so it stays at {}", exact_size_text(super_.size()))};
}

Details XfsFilesystem::details() {
    Details details = {
        {"version", std::uint64_t{super_.features.version()}},
        {"features", super_.features.names()},
        {"log", std::string(super_.log_is_internal() ? "internal" : "external")},
        {"log_bytes", std::uint64_t{super_.log_blocks} * super_.block_size},
        {"state", state_.sentence},
        {"sector_bytes", std::uint64_t{super_.sector_size}},
        {"inode_bytes", std::uint64_t{super_.inode_size}},
        {"inodes", super_.inodes},
        {"inodes_free", super_.free_inodes},
        {"groups", std::uint64_t{super_.groups}},
        {"group_bytes", std::uint64_t{super_.group_blocks} * super_.block_size},
    };
    if (super_.stripe_unit != 0) {
        details.emplace_back("stripe_unit_bytes", std::uint64_t{super_.stripe_unit} * super_.block_size);
        details.emplace_back("stripe_width_bytes", std::uint64_t{super_.stripe_width} * super_.block_size);
    }
    if (super_.log_stripe > 1)
        details.emplace_back("log_stripe_unit_bytes", std::uint64_t{super_.log_stripe});
    if (super_.realtime_blocks != 0)
        details.emplace_back("realtime_bytes", super_.realtime_blocks * super_.block_size);
    return details;
}

Reason XfsFilesystem::can_grow() const {
    // Without its realtime device the kernel does not mount it, and only a mounted one grows.
    return super_.realtime_blocks != 0 ? Reason::several_devices : state_.reason;
}

void XfsFilesystem::demand_trust() const {
    if (!state_.free_map_trusted)
        throw Error(ErrorCode::damaged,
                    fmt::format("{}: the XFS file system cannot be analysed as it is: {}", device_.name(),
                                state_.sentence),
                    state_.reason);
}

std::uint64_t XfsFilesystem::free_blocks() const {
    if (!state_.free_map_trusted)
        return std::min(super_.free_blocks, super_.blocks);
    std::uint64_t blocks = 0;
    for (const Group& group : groups_)
        blocks += std::uint64_t{group.free_blocks} + group.list_blocks + group.tree_blocks;
    return blocks;
}

} // namespace disktool::xfs
