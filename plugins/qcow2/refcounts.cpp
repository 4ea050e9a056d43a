// SPDX-License-Identifier: LGPL-2.1-or-later
#include "refcounts.h"

#include "big_endian.h"
#include "damage.h"
#include "in_place.h"

#include <fmt/format.h>

#include <algorithm>

namespace disktool::qcow2 {

namespace {
std::uint64_t low_bits(std::uint32_t bits) {
    return (std::uint64_t{1} << bits) - 1;
}
} // namespace

RefcountBlock::RefcountBlock(std::uint64_t first_cluster, std::uint64_t cluster_size, std::uint32_t bits)
    : first_cluster_(first_cluster), bits_(bits), counts_(cluster_size * 8 / bits), bytes_(cluster_size) {}

std::uint64_t RefcountBlock::get(std::uint64_t index) const {
    const std::span<const std::byte> bytes = bytes_;
    switch (bits_) {
    case 64:
        return load_big_endian<std::uint64_t>(bytes, index * 8);
    case 32:
        return load_big_endian<std::uint32_t>(bytes, index * 4);
    case 16:
        return load_big_endian<std::uint16_t>(bytes, index * 2);
    default:
        // Counts of less than a byte start at its least significant bit.
        return (static_cast<std::uint64_t>(bytes_[index * bits_ / 8]) >> (index * bits_ % 8)) & low_bits(bits_);
    }
}

void RefcountBlock::set(std::uint64_t index, std::uint64_t value) {
    const std::span<std::byte> bytes = bytes_;
    switch (bits_) {
    case 64:
        store_big_endian(bytes, index * 8, value);
        break;
    case 32:
        store_big_endian(bytes, index * 4, static_cast<std::uint32_t>(value));
        break;
    case 16:
        store_big_endian(bytes, index * 2, static_cast<std::uint16_t>(value));
        break;
    default: {
        const std::uint64_t shift = index * bits_ % 8;
        std::byte& byte = bytes_[index * bits_ / 8];
        const std::uint64_t others = static_cast<std::uint64_t>(byte) & ~(low_bits(bits_) << shift);
        byte = static_cast<std::byte>(others | (value & low_bits(bits_)) << shift);
    }
    }
}

Refcounts::Refcounts(File& file, const Header& header, std::uint64_t file_size)
    : file_(file), cluster_size_(header.cluster_size()), bits_(header.refcount_bits),
      table_offset_(header.refcount_table_offset) {
    const std::uint64_t length = std::uint64_t{header.refcount_table_clusters} << header.cluster_bits;
    if (length == 0 || length > max_refcount_table_bytes) {
        throw_damaged(file.path(), fmt::format("a refcount table of {} bytes", length));
    }
    check_place(file.path(), "the refcount table", {table_offset_, length}, cluster_size_, file_size);
    table_.resize(length / 8);
    file.read(table_offset_, std::as_writable_bytes(std::span(table_)));
    swap_words(table_);
    for (std::size_t index = 0; index < table_.size(); ++index) {
        if (table_[index] == 0) {
            continue;
        }
        check_place(file.path(), fmt::format("refcount block {}", index), {table_[index], cluster_size_},
                    cluster_size_, file_size);
    }
}

void Refcounts::visit_block(std::size_t index, const Visitor& visit) {
    RefcountBlock block(index * per_block(), cluster_size_, bits_);
    file_.read(table_[index], block.bytes());
    const std::vector<std::byte> before(block.bytes().begin(), block.bytes().end());
    visit(block);
    write_changed(file_, table_[index], before, block.bytes());
}

void Refcounts::visit_blocks(const Visitor& visit) {
    for (std::size_t index = 0; index < table_.size(); ++index) {
        if (table_[index] != 0) {
            visit_block(index, visit);
        }
    }
}

ExtentSet Refcounts::lower(std::vector<std::uint64_t> clusters) {
    std::sort(clusters.begin(), clusters.end());
    ExtentSet freed;
    auto next = clusters.begin();
    while (next != clusters.end()) {
        const std::uint64_t index = *next / per_block();
        if (index >= table_.size() || table_[index] == 0) {
            throw_damaged(file_.path(), fmt::format("cluster {} is in use and has no refcount", *next));
        }
        visit_block(index, [&](RefcountBlock& block) {
            for (; next != clusters.end() && *next / per_block() == index; ++next) {
                const std::uint64_t at = *next - block.first_cluster();
                const std::uint64_t count = block.get(at);
                if (count == 0) {
                    throw_damaged(file_.path(), fmt::format("cluster {} is in use with refcount 0", *next));
                }
                block.set(at, count - 1);
                if (count == 1) {
                    freed.append({*next * cluster_size_, cluster_size_});
                }
            }
        });
    }
    return freed;
}

} // namespace disktool::qcow2
