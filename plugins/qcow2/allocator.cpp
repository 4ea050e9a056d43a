// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocator.h"

#include "big_endian.h"
#include "damage.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <vector>

namespace disktool::qcow2 {

namespace {
/// Table entries have 56 bits for an offset; this leaves room for all that is allocated behind it.
constexpr std::uint64_t largest_file = std::uint64_t{1} << 55;
} // namespace

Allocator::Allocator(File& file, Refcounts& refcounts, std::uint64_t file_size)
    : file_(file), refcounts_(refcounts), first_(divide_up(file_size, refcounts.cluster_size())),
      next_(first_) {
    // Leaks may lie beyond the end of the file.
    for (std::uint64_t index = first_block(); index < refcounts_.table().size(); ++index) {
        if (!block_exists(index)) {
            continue;
        }
        refcounts_.visit_block(index, [&](const RefcountBlock& block) {
            for (std::uint64_t at = 0; at < block.size(); ++at) {
                if (block.get(at) != 0) {
                    next_ = std::max(next_, block.first_cluster() + at + 1);
                }
            }
        });
    }
    if (next_ > largest_file / refcounts_.cluster_size()) {
        throw_damaged(file.path(),
                      fmt::format("cluster {} has a refcount, which is beyond what a file can be", next_ - 1));
    }
    first_ = next_;
}

bool Allocator::block_exists(std::uint64_t block) const {
    return block < refcounts_.table().size() && refcounts_.table()[block] != 0;
}

std::uint64_t Allocator::allocate(std::uint64_t count) {
    const std::uint64_t offset = next_ * refcounts_.cluster_size();
    next_ += count;
    return offset;
}

void Allocator::cover() {
    for (std::uint64_t block = first_block(); block <= last_block(); ++block) {
        if (!block_exists(block) && !blocks_.contains(block)) {
            blocks_[block] = allocate(1);
        }
    }
    const std::uint64_t needed = last_block() + 1;
    if (needed <= refcounts_.table().size() || needed <= new_table_.length / 8) {
        return;
    }
    if (needed * 8 > max_refcount_table_bytes) {
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{}: the refcount table of an image with clusters of {} cannot count a file of "
                                "{}; convert it to a larger cluster size with \"qemu-img convert\"",
                                file_.path(), size_text(refcounts_.cluster_size()),
                                exact_size_text(allocated().end())),
                    Reason::size_too_large);
    }
    // Half as much again, so that the next one is far away.
    const std::uint64_t length =
        std::min(round_up((needed + needed / 2) * 8, refcounts_.cluster_size()), max_refcount_table_bytes);
    new_table_ = {allocate(length / refcounts_.cluster_size()), length};
    cover(); // the table may need a block more
}

void Allocator::count_in(RefcountBlock& block, std::uint64_t value) const {
    const std::uint64_t from = std::max(first_, block.first_cluster());
    const std::uint64_t to = std::min(next_, block.first_cluster() + block.size());
    for (std::uint64_t cluster = from; cluster < to; ++cluster) {
        block.set(cluster - block.first_cluster(), value);
    }
}

void Allocator::set_counts(std::uint64_t value) {
    for (std::uint64_t index = first_block(); index <= last_block(); ++index) {
        if (block_exists(index)) {
            refcounts_.visit_block(index, [&](RefcountBlock& block) { count_in(block, value); });
        }
    }
}

void Allocator::write_counts() {
    for (const auto& [index, offset] : blocks_) {
        RefcountBlock block(index * refcounts_.per_block(), refcounts_.cluster_size(), refcounts_.bits());
        count_in(block, 1);
        file_.write(offset, block.bytes());
    }
    if (!new_table_.empty()) {
        std::vector<std::uint64_t> table(refcounts_.table().begin(), refcounts_.table().end());
        table.resize(new_table_.length / 8);
        for (const auto& [index, offset] : blocks_) {
            table[index] = offset;
        }
        swap_words(table);
        file_.write(new_table_.offset, std::as_bytes(std::span(table)));
    }
    set_counts(1);
}

bool Allocator::link_blocks() {
    if (!new_table_.empty() || blocks_.empty()) {
        return false;
    }
    for (const auto& [index, offset] : blocks_) {
        std::array<std::byte, 8> entry{};
        store_big_endian<std::uint64_t>(entry, 0, offset);
        file_.write(refcounts_.place().offset + index * 8, entry);
    }
    return true;
}

void Allocator::take_back() {
    set_counts(0);
}

} // namespace disktool::qcow2
