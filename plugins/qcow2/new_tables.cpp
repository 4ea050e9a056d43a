// SPDX-License-Identifier: LGPL-2.1-or-later
#include "new_tables.h"

#include "big_endian.h"
#include "free_rule.h"

#include <disktool/size.h>

#include <algorithm>
#include <cstring>

namespace disktool::qcow2 {

namespace {

/// The bytes of the patches that lie in [offset, offset + buffer.size()).
void apply(const std::vector<Patch>& patches, std::uint64_t offset, std::span<std::byte> buffer) {
    for (const Patch& patch : patches) {
        const std::uint64_t from = std::max(offset, patch.offset);
        const std::uint64_t to = std::min(offset + buffer.size(), patch.offset + patch.data.size());
        if (from < to) {
            std::memcpy(&buffer[from - offset], &patch.data[from - patch.offset], to - from);
        }
    }
}

} // namespace

NewTables::NewTables(Image& image, const GrowLayout& layout, Allocator& allocator)
    : image_(image), layout_(layout), header_(image.metadata().header()) {
    if (layout.new_l1) {
        l1_offset_ = allocator.allocate(divide_up(layout.l1_size * 8, header_.cluster_size()));
        tables_offset_ = allocator.allocate(layout.tables.size());
        clusters_offset_ = allocator.allocate(layout.clusters.size());
    }
}

bool NewTables::write_next(const std::vector<Patch>& patches) {
    const std::size_t clusters = layout_.clusters.size();
    const std::size_t tables = layout_.tables.size();
    const std::size_t index = written_++;
    if (index < clusters) {
        write_cluster(layout_.clusters[index], clusters_offset_ + index * header_.cluster_size(), patches);
    } else if (index < clusters + tables) {
        const std::size_t table = index - clusters;
        write_table(layout_.tables[table], tables_offset_ + table * header_.cluster_size());
    } else if (index == clusters + tables && layout_.new_l1) {
        write_l1();
    } else {
        return false;
    }
    return true;
}

void NewTables::write_cluster(std::uint64_t guest_cluster, std::uint64_t offset,
                              const std::vector<Patch>& patches) {
    const std::uint64_t start = guest_cluster * header_.cluster_size();
    std::vector<std::byte> content(header_.cluster_size());
    if (start < layout_.old_size) {
        const std::uint64_t length = std::min<std::uint64_t>(content.size(), layout_.old_size - start);
        image_.device().read(start, std::span(content).first(length));
    }
    apply(patches, start, content);
    image_.file().write(offset, content);
}

void NewTables::write_table(std::uint64_t l1_index, std::uint64_t offset) {
    Metadata& metadata = image_.metadata();
    const std::uint64_t entries = header_.l2_entries();
    const std::uint32_t words = header_.words_per_entry();
    const std::span<const std::uint64_t> old = metadata.l2_table(l1_index);
    std::vector<std::uint64_t> table(header_.cluster_size() / 8);
    std::copy(old.begin(), old.end(), table.begin());
    const std::uint64_t old_offset = metadata.l2_offset(l1_index).value_or(0);
    if (old_offset != 0) {
        drop({old_offset, header_.cluster_size()});
    }
    for (std::uint64_t index = 0; index < entries; ++index) {
        const std::uint64_t guest_cluster = l1_index * entries + index;
        const auto data = std::lower_bound(layout_.clusters.begin(), layout_.clusters.end(), guest_cluster);
        const bool renewed = data != layout_.clusters.end() && *data == guest_cluster;
        if (!renewed && guest_cluster < layout_.first_exposed) {
            continue;
        }
        const std::span<std::uint64_t> entry = std::span(table).subspan(index * words, words);
        drop(host_range(metadata.decoder().l2(table, index, old_offset), header_.cluster_size()));
        std::fill(entry.begin(), entry.end(), 0);
        if (renewed) {
            const auto number = static_cast<std::uint64_t>(data - layout_.clusters.begin());
            entry[0] = (clusters_offset_ + number * header_.cluster_size()) | entry_bits::copied;
            if (header_.extended_l2()) {
                entry[1] = 0x0000'0000'ffff'ffff; // every subcluster is allocated
            }
        } else if (guest_cluster < layout_.zeroed_end) {
            make_zero(entry, header_.extended_l2());
        }
    }
    swap_words(table);
    image_.file().write(offset, std::as_bytes(std::span(table)));
}

void NewTables::write_l1() {
    const std::span<const std::uint64_t> old = image_.metadata().l1();
    std::vector<std::uint64_t> l1(round_up(layout_.l1_size * 8, header_.cluster_size()) / 8);
    std::copy(old.begin(), old.end(), l1.begin());
    for (std::size_t table = 0; table < layout_.tables.size(); ++table) {
        l1[layout_.tables[table]] = (tables_offset_ + table * header_.cluster_size()) | entry_bits::copied;
    }
    swap_words(l1);
    image_.file().write(l1_offset_, std::as_bytes(std::span(l1)));
    drop({header_.l1_offset, std::uint64_t{header_.l1_size} * 8});
}

void NewTables::drop(Range place) {
    if (place.empty()) {
        return;
    }
    const std::uint64_t last = (place.end() - 1) / header_.cluster_size();
    for (std::uint64_t cluster = place.offset / header_.cluster_size(); cluster <= last; ++cluster) {
        dropped_.push_back(cluster);
    }
}

} // namespace disktool::qcow2
