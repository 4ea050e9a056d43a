// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ext4_filesystem.h"

#include "free_map.h"
#include "groups.h"
#include "growth.h"
#include "minimum_size.h"
#include "resize_steps.h"
#include "state.h"

#include <disktool/disk_text.h>
#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool::ext4 {

Ext4Filesystem::Ext4Filesystem(BlockDevice& device)
    : device_(device), handle_(device), features_{handle_.get()->super->s_feature_compat,
                                                  handle_.get()->super->s_feature_incompat,
                                                  handle_.get()->super->s_feature_ro_compat},
      state_(read_state(handle_.get(), device)) {
    if (state_.free_map_trusted)
        metadata_ = checked_metadata(handle_.get(), device);
}

FilesystemUsage Ext4Filesystem::usage() {
    ext2_filsys fs = handle_.get();
    return {ext2fs_blocks_count(fs->super) * fs->blocksize, ext2fs_free_blocks_count(fs->super) * fs->blocksize,
            fs->blocksize, disk_text(fs->super->s_volume_name), uuid_text(fs->super->s_uuid)};
}

ExtentSet Ext4Filesystem::free_extents() {
    demand_trust();
    return free_map(handle_.get(), device_, metadata_);
}

MinimumSize Ext4Filesystem::minimum_size() {
    demand_trust();
    return compute_minimum_size(handle_.get(), device_);
}

Details Ext4Filesystem::details() {
    const ext2_filsys fs = handle_.get();
    const ext2_super_block* super = fs->super;
    const char* journal = !ext2fs_has_feature_journal(fs->super) ? "none"
                          : super->s_journal_inum != 0           ? "internal"
                                                                 : "external";
    Details details = {
        {"features", features_.names()},
        {"journal", std::string(journal)},
        {"state", state_.sentence},
        {"reserved_bytes", std::uint64_t{ext2fs_r_blocks_count(fs->super) * fs->blocksize}},
        {"inodes", std::uint64_t{super->s_inodes_count}},
        {"inodes_free", std::uint64_t{super->s_free_inodes_count}},
        {"groups", std::uint64_t{fs->group_desc_count}},
        {"grown_bytes", grown_size(fs, device_.size())},
        {"last_mounted_on", disk_text(super->s_last_mounted)},
    };
    if (ext2fs_has_feature_bigalloc(fs->super))
        details.emplace_back("cluster_bytes", EXT2FS_C2B(fs, std::uint64_t{fs->blocksize}));
    return details;
}

Reason Ext4Filesystem::can_grow() const {
    return grow_obstacle(handle_.get()).reason;
}

Reason Ext4Filesystem::can_shrink() const {
    return shrink_obstacle(handle_.get()).reason;
}

void Ext4Filesystem::plan_resize(Plan& plan, const FilesystemResize& request) {
    std::uint64_t moved = 0;
    if (request.new_size < request.old_size) {
        const Range beyond{request.new_size, usage().size - std::min(usage().size, request.new_size)};
        moved = beyond.length - free_extents().clip(beyond).total();
    }
    ext4::plan_resize(plan, request, type(), metadata_.total(), moved);
}

void Ext4Filesystem::demand_trust() const {
    if (!state_.free_map_trusted)
        throw Error(ErrorCode::damaged,
                    fmt::format("{}: the {} file system cannot be analysed as it is: {}", device_.name(),
                                type(), state_.sentence),
                    state_.reason);
}

} // namespace disktool::ext4
