// SPDX-License-Identifier: LGPL-2.1-or-later
#include "metadata.h"

#include "big_endian.h"
#include "damage.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace disktool::qcow2 {

namespace {
/// A chain keeps one cache an image, so it is small.
constexpr std::uint64_t cache_bytes = 4 * MiB;
constexpr std::uint64_t least_cached_tables = 2;
} // namespace

Metadata::Metadata(File& file)
    : file_(file), header_(parse_header(file)), file_size_(file.status().size),
      decoder_(file.path(), header_, file_size_) {
    load_l1();
}

void Metadata::forget() {
    tables_.clear();
    index_.clear();
    header_ = parse_header(file_);
    file_size_ = file_.status().size;
    decoder_ = EntryDecoder(file_.path(), header_, file_size_);
    load_l1();
}

void Metadata::load_l1() {
    l1_ = read_l1(header_.l1_offset, header_.l1_size);
    check_distinct(l1_);
}

std::vector<std::uint64_t> Metadata::read_l1(std::uint64_t offset, std::uint64_t entries) const {
    if (entries == 0) {
        return {};
    }
    if (entries > max_l1_bytes / 8) {
        throw_damaged(file_.path(),
                      fmt::format("the L1 table at offset {} has {} entries; no more than {} are possible",
                                  offset, entries, max_l1_bytes / 8));
    }
    check_place(file_.path(), "the L1 table", {offset, entries * 8}, header_.cluster_size(), file_size_);
    std::vector<std::uint64_t> words(entries);
    read_words(offset, words);
    return words;
}

void Metadata::read_words(std::uint64_t offset, std::span<std::uint64_t> words) const {
    file_.read(offset, std::as_writable_bytes(words));
    swap_words(words);
}

void Metadata::check_distinct(std::span<const std::uint64_t> l1) const {
    std::vector<std::uint64_t> offsets;
    for (std::size_t i = 0; i < l1.size(); ++i) {
        if (const std::uint64_t offset = decoder_.l1(l1[i], i); offset != 0) {
            offsets.push_back(offset);
        }
    }
    std::sort(offsets.begin(), offsets.end());
    const auto twice = std::adjacent_find(offsets.begin(), offsets.end());
    if (twice != offsets.end()) {
        throw_damaged(file_.path(), fmt::format("two L1 entries name the same L2 table at offset {}", *twice));
    }
}

std::optional<std::uint64_t> Metadata::l2_offset(std::uint64_t l1_index) const {
    const std::uint64_t offset = l1_index < l1_.size() ? decoder_.l1(l1_[l1_index], l1_index) : 0;
    return offset != 0 ? std::optional(offset) : std::nullopt;
}

std::span<const std::uint64_t> Metadata::l2_table(std::uint64_t l1_index) {
    const auto offset = l2_offset(l1_index);
    if (!offset) {
        return {};
    }
    if (const auto found = index_.find(l1_index); found != index_.end()) {
        tables_.splice(tables_.begin(), tables_, found->second);
        return tables_.front().words;
    }
    const std::uint64_t capacity = std::max(cache_bytes / header_.cluster_size(), least_cached_tables);
    if (tables_.size() < capacity) {
        tables_.push_front({l1_index, std::vector<std::uint64_t>(header_.cluster_size() / 8)});
    } else {
        index_.erase(tables_.back().l1_index);
        tables_.splice(tables_.begin(), tables_, std::prev(tables_.end()));
        tables_.front().l1_index = l1_index;
    }
    try {
        read_words(*offset, tables_.front().words);
    } catch (...) {
        tables_.pop_front();
        throw;
    }
    index_.emplace(l1_index, tables_.begin());
    return tables_.front().words;
}

ClusterEntry Metadata::entry(std::uint64_t guest_cluster) {
    const std::uint64_t l1_index = guest_cluster / header_.l2_entries();
    const auto table = l2_table(l1_index);
    if (table.empty()) {
        return {};
    }
    return decoder_.l2(table, guest_cluster % header_.l2_entries(), *l2_offset(l1_index));
}

void Metadata::for_each_l2(std::span<const std::uint64_t> l1, const L2Visitor& visit) const {
    if (l1.data() != l1_.data()) {
        check_distinct(l1);
    }
    std::vector<std::uint64_t> words(header_.cluster_size() / 8);
    for (std::size_t i = 0; i < l1.size(); ++i) {
        if (const std::uint64_t offset = decoder_.l1(l1[i], i); offset != 0) {
            read_words(offset, words);
            visit(i, offset, words);
        }
    }
}

} // namespace disktool::qcow2
