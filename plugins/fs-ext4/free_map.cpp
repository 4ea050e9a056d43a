// SPDX-License-Identifier: LGPL-2.1-or-later
#include "free_map.h"

#include "damage.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace disktool::ext4 {

namespace {

/// The first bit at or after `from` that has `value`; `count` where there is none. Words are read whole, so
/// `bits` must go on to a multiple of 8 bytes.
std::uint32_t next_bit(std::span<const std::byte> bits, std::uint32_t from, std::uint32_t count, bool value) {
    while (from < count) {
        std::uint64_t word = 0;
        std::memcpy(&word, &bits[std::size_t{from} / 64 * 8], sizeof word);
        word = ext2fs_le64_to_cpu(word);
        word = (value ? word : ~word) >> (from % 64);
        if (word != 0)
            return std::min<std::uint32_t>(count, from + static_cast<std::uint32_t>(std::countr_zero(word)));
        from = (from / 64 + 1) * 64;
    }
    return count;
}

class FreeMap {
  public:
    FreeMap(ext2_filsys filesystem, BlockDevice& device)
        : fs_(filesystem), device_(device), cluster_size_(EXT2FS_C2B(fs_, std::uint64_t{fs_->blocksize})),
          run_limit_(static_cast<dgrp_t>(std::max<std::uint64_t>(1, MiB / fs_->blocksize))) {}

    ExtentSet run(const ExtentSet& metadata) {
        for (dgrp_t group = 0; group < fs_->group_desc_count;) {
            if (is_uninitialised(group)) {
                add_uninitialised(group++);
                continue;
            }
            const dgrp_t count = adjacent_bitmaps(group);
            read_bitmaps(group, count);
            group += count;
        }
        // A cluster with any metadata in it is taken as a whole.
        const ExtentSet taken = metadata.rounded_outward(cluster_size_);
        const ExtentSet wrong = mapped_.intersect(taken);
        if (!wrong.empty())
            throw damage(device_, fmt::format("a block bitmap calls metadata at block {} free",
                                              wrong.begin()->offset / fs_->blocksize));
        const ExtentSet implied = uninitialised_.subtract(taken);
        if (implied.total() != implied_clusters_ * cluster_size_)
            throw damage(device_,
                         fmt::format("the groups without a block bitmap count {} free blocks but hold {}",
                                     EXT2FS_C2B(fs_, implied_clusters_), implied.total() / fs_->blocksize));
        // Only now cut what the last cluster may reach beyond the end.
        return mapped_.unite(implied).clip({0, ext2fs_blocks_count(fs_->super) * fs_->blocksize});
    }

  private:
    bool is_uninitialised(dgrp_t group) const {
        return ext2fs_has_group_desc_csum(fs_) && ext2fs_bg_flags_test(fs_, group, EXT2_BG_BLOCK_UNINIT);
    }
    std::uint64_t start(dgrp_t group) const { return ext2fs_group_first_block2(fs_, group) * fs_->blocksize; }
    std::uint32_t clusters(dgrp_t group) const {
        const auto blocks = static_cast<std::uint64_t>(ext2fs_group_blocks_count(fs_, group));
        return static_cast<std::uint32_t>(EXT2FS_NUM_B2C(fs_, blocks));
    }

    /// All of the group but the metadata in it is free; there is no bitmap to read.
    void add_uninitialised(dgrp_t group) {
        uninitialised_.append({start(group), clusters(group) * cluster_size_});
        implied_clusters_ += ext2fs_bg_free_blocks_count(fs_, group);
    }

    /// How many groups from this one on have bitmaps one behind the other on disk (flex_bg packs them).
    dgrp_t adjacent_bitmaps(dgrp_t first) const {
        const dgrp_t limit = std::min(run_limit_, fs_->group_desc_count - first);
        dgrp_t count = 1;
        while (count < limit && !is_uninitialised(first + count) &&
               ext2fs_block_bitmap_loc(fs_, first + count) == ext2fs_block_bitmap_loc(fs_, first) + count)
            ++count;
        return count;
    }

    void read_bitmaps(dgrp_t first, dgrp_t count) {
        const std::size_t block_size = fs_->blocksize;
        buffer_.resize(std::max(buffer_.size(), count * block_size));
        const std::span<std::byte> run(buffer_.data(), count * block_size);
        device_.read(ext2fs_block_bitmap_loc(fs_, first) * block_size, run);
        for (dgrp_t i = 0; i < count; ++i)
            add_mapped(first + i, run.subspan(i * block_size, block_size));
    }

    void add_mapped(dgrp_t group, std::span<std::byte> bitmap) {
        const std::uint64_t place = ext2fs_block_bitmap_loc(fs_, group);
        if (!ext2fs_block_bitmap_csum_verify(fs_, group, reinterpret_cast<char*>(bitmap.data()),
                                             static_cast<int>(fs_->super->s_clusters_per_group / 8)))
            throw damage(device_, fmt::format("the block bitmap of group {} (block {}) has a bad checksum",
                                              group, place));
        const std::uint32_t bits = clusters(group);
        std::uint32_t free = 0;
        for (std::uint32_t at = next_bit(bitmap, 0, bits, false); at < bits;) {
            const std::uint32_t end = next_bit(bitmap, at, bits, true);
            mapped_.append({start(group) + at * cluster_size_, (end - at) * cluster_size_});
            free += end - at;
            at = next_bit(bitmap, end, bits, false);
        }
        if (free != ext2fs_bg_free_blocks_count(fs_, group))
            throw damage(
                device_,
                fmt::format("the block bitmap of group {} (block {}) has {} free, its descriptor says {}",
                            group, place, free, ext2fs_bg_free_blocks_count(fs_, group)));
    }

    ext2_filsys fs_;
    BlockDevice& device_;
    std::uint64_t cluster_size_;
    dgrp_t run_limit_;
    std::vector<std::byte> buffer_;
    ExtentSet mapped_;        ///< free by a bitmap
    ExtentSet uninitialised_; ///< groups without one
    std::uint64_t implied_clusters_ = 0;
};

} // namespace

ExtentSet free_map(ext2_filsys filesystem, BlockDevice& device, const ExtentSet& metadata) {
    return FreeMap(filesystem, device).run(metadata);
}

} // namespace disktool::ext4
