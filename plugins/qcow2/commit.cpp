// SPDX-License-Identifier: LGPL-2.1-or-later
#include "commit.h"

#include "big_endian.h"
#include "free_rule.h"
#include "host_space.h"
#include "new_bitmaps.h"
#include "reclaim.h"
#include "reference_walk.h"
#include "sizes.h"
#include "tail_writer.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool::qcow2 {

namespace {
using By = ReferenceCount::By;
} // namespace

Commit::Commit(Image& image, NewDisk& disk, const Present& present, const WorkCommit& request)
    : image_(image), disk_(disk), present_(present), request_(request), metadata_(image.metadata()),
      header_(metadata_.header()), file_(image.file()), cluster_size_(header_.cluster_size()),
      clusters_(divide_up(request.size, cluster_size_)),
      backing_size_(image.backing() != nullptr && !request.drop_backing ? image.backing()->info().virtual_size
                                                                        : 0),
      present_counts_(file_, header_, metadata_.file_size()),
      references_(file_.path(), metadata_.file_size(), cluster_size_) {
    check_size(image, request.size);
    check_bitmaps(image, request.size);
    const bool keeps_snapshots = header_.snapshot_count != 0 && !request.drop_snapshots;
    if (keeps_snapshots && (request.size != header_.virtual_size || request.reserve)) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("{}: Image has internal snapshots. Merge snapshots to proceed: "
                                "\"prl_disk_tool merge --hdd {}\".",
                                file_.path(), file_.path()),
                    Reason::internal_snapshots);
    }
    change_.size = request.size;
    change_.drop_snapshots = request.drop_snapshots;
    change_.drop_backing = request.drop_backing;
}

void Commit::prepare() {
    disk_.cut(clusters_);
    clear_exposed();
    finish_ends();
    if (request_.drop_backing && image_.backing() != nullptr && disk_.changed().wanted()) {
        // What shows through becomes zeros, which a recording bitmap has to know.
        const std::uint64_t shown =
            std::min({image_.backing()->info().virtual_size, disk_.old_size(), request_.size});
        const ExtentSet own = image_.own_extents({0, shown});
        for (const Range& gap : own.complement({0, shown})) {
            for (const Extent& extent : image_.device().extents(gap)) {
                if (extent.kind == ExtentKind::data) {
                    disk_.changed().add(extent.range);
                }
            }
        }
    }
    place_hidden_zeros();
    if (request_.reserve) {
        reserve_clusters();
    }
}

/// What lies behind the old end must read as zeros: neither the backing file may show there, nor entries that a
/// VM's stored state or a shrink by others has left.
void Commit::clear_exposed() {
    const std::uint64_t entries = header_.l2_entries();
    const std::uint64_t hidden_end = std::min(clusters_, divide_up(backing_size_, cluster_size_));
    for (std::uint64_t cluster = divide_up(disk_.old_size(), cluster_size_); cluster < clusters_;) {
        const std::uint64_t table_end = std::min(clusters_, (cluster / entries + 1) * entries);
        if (cluster >= hidden_end && !metadata_.l2_offset(cluster / entries)) {
            cluster = table_end;
            continue;
        }
        for (; cluster < table_end; ++cluster) {
            if (disk_.overlay().get(cluster) == Overlay::unchanged &&
                (cluster < hidden_end || metadata_.entry(cluster).kind != ClusterKind::unallocated)) {
                disk_.force_clear(cluster);
            }
        }
    }
}

/// Within a cluster that the old or the new end divides, what lies behind the end is zeros from now on.
void Commit::finish_ends() {
    const auto finish = [&](std::uint64_t end) {
        const std::uint64_t cluster = end / cluster_size_;
        const bool shown = end % cluster_size_ != 0 && cluster < clusters_;
        if (shown && !disk_.reads_zero(cluster)) {
            disk_.copy(cluster, std::min(request_.size, disk_.size()));
        }
    };
    if (request_.size > disk_.old_size() &&
        !Overlay::is_place(disk_.overlay().get(disk_.old_size() / cluster_size_))) {
        finish(disk_.old_size());
    }
    if (request_.size < disk_.size()) {
        finish(request_.size);
    }
}

/// Version 2 has no entry that hides the backing file: there, zeros are clusters like others, which the host
/// need not hold.
void Commit::place_hidden_zeros() {
    if (header_.version >= 3) {
        return;
    }
    const std::uint64_t end = std::min(clusters_, divide_up(backing_size_, cluster_size_));
    for (std::uint64_t cluster = 0; cluster < end;) {
        const std::uint64_t count = disk_.overlay().run(cluster, end - cluster, cluster_size_);
        if (disk_.overlay().get(cluster) == Overlay::cleared) {
            disk_.place_zeros(cluster, count);
        }
        cluster += count;
    }
}

std::uint64_t Commit::references(std::uint64_t offset) const {
    if (offset >= disk_.tail().start()) {
        return 1;
    }
    const ReferenceCount::Cell cell = references_.at(offset / cluster_size_);
    const auto leak = present_.leaks.find(offset / cluster_size_);
    return cell.references + (leak != present_.leaks.end() ? leak->second : 0);
}

void Commit::write_metadata() {
    count_references();
    change_.bitmaps = write_bitmaps(image_, request_.size, disk_.changed(), disk_.tail(), references_);
    write_tables();
    write_l1();
    counts_.emplace(file_, present_counts_, references_, disk_.tail(), present_.leaks);
    counts_->write();
    change_.refcount_table = counts_->table();
    switch_.emplace(file_, header_, change_);
    find_unneeded();
    fill_file();
    if (request_.reserve) {
        reserve_blocks();
    }
    file_.sync_data();
}

/// Everything that the new state goes on to refer to in the file as it was, but its tables.
void Commit::count_references() {
    references_.add({0, cluster_size_}, By::metadata);
    if (!request_.drop_snapshots) {
        count_snapshots(image_, references_);
    }
    const std::uint64_t entries = header_.l2_entries();
    const std::uint32_t words = header_.words_per_entry();
    metadata_.for_each_l2(
        [&](std::uint64_t l1_index, std::uint64_t offset, std::span<const std::uint64_t> table) {
            const std::uint64_t first = l1_index * entries;
            const auto* const changed = disk_.overlay().table(l1_index);
            for (std::size_t i = 0; i < entries && first + i < clusters_; ++i) {
                if (table[i * words] != 0 && (changed == nullptr || (*changed)[i] == Overlay::unchanged)) {
                    references_.add(host_range(metadata_.decoder().l2(table, i, offset), cluster_size_),
                                    By::metadata);
                }
            }
        });
}

void Commit::write_tables() {
    const std::uint64_t needed = divide_up(request_.size, header_.l1_coverage());
    l1_.assign(std::max<std::uint64_t>(needed, 1), 0);
    TailWriter writer(file_);
    std::vector<std::uint64_t> table(cluster_size_ / 8);
    std::vector<std::uint64_t> kept;
    for (std::uint64_t index = 0; index < needed; ++index) {
        const auto old_offset = metadata_.l2_offset(index);
        if (!old_offset && disk_.overlay().table(index) == nullptr) {
            continue;
        }
        if (old_offset) {
            std::ranges::copy(metadata_.l2_table(index), table.begin());
        } else {
            std::ranges::fill(table, 0);
        }
        const bool renewed = renew_table(index, table);
        if (!renewed && old_offset) {
            references_.add({*old_offset, cluster_size_}, By::metadata);
            l1_[index] = *old_offset;
            kept.push_back(index);
        } else if (std::ranges::any_of(table, [](std::uint64_t word) { return word != 0; })) {
            l1_[index] = disk_.tail().append(1) | entry_bits::copied;
            swap_words(table);
            writer.put(l1_[index] & entry_bits::offset, std::as_bytes(std::span(table)));
        }
    }
    writer.flush();
    // Only now it is known who else has them.
    for (const std::uint64_t index : kept) {
        l1_[index] |= references(l1_[index]) == 1 ? entry_bits::copied : 0;
    }
}

/// True where something had to change.
bool Commit::renew_table(std::uint64_t l1_index, std::span<std::uint64_t> table) const {
    const std::uint64_t entries = header_.l2_entries();
    const std::uint32_t words = header_.words_per_entry();
    const auto* const overlay = disk_.overlay().table(l1_index);
    bool renewed = false;
    for (std::size_t i = 0; i < entries; ++i) {
        const std::uint64_t cluster = l1_index * entries + i;
        const std::span<std::uint64_t> entry = table.subspan(i * words, words);
        const std::uint64_t word = overlay != nullptr ? (*overlay)[i] : Overlay::unchanged;
        const std::uint64_t before[2] = {entry.front(), entry.back()};
        if (cluster >= clusters_) {
            std::ranges::fill(entry, 0);
        } else if (word != Overlay::unchanged) {
            renew_entry(cluster, word, entry);
        } else if (entry[0] != 0 && !(entry[0] & entry_bits::compressed)) {
            // A cluster that lost its other owners has to say so.
            const std::uint64_t offset = entry[0] & entry_bits::offset;
            if (offset != 0) {
                entry[0] &= ~entry_bits::copied;
                entry[0] |= references(offset) == 1 ? entry_bits::copied : 0;
            }
        }
        renewed = renewed || entry.front() != before[0] || entry.back() != before[1];
    }
    return renewed;
}

void Commit::renew_entry(std::uint64_t guest_cluster, std::uint64_t word,
                         std::span<std::uint64_t> entry) const {
    std::ranges::fill(entry, 0);
    if (Overlay::is_place(word)) {
        entry[0] = word | entry_bits::copied;
        if (header_.extended_l2()) {
            entry[1] = 0x0000'0000'ffff'ffff; // every subcluster is allocated
        }
    } else if (guest_cluster * cluster_size_ < backing_size_ && header_.version >= 3) {
        make_zero(entry, header_.extended_l2());
    }
}

/// The present table says the same of all that the disk needs, and nothing beyond.
bool Commit::keeps_l1() const {
    const std::span<const std::uint64_t> old = metadata_.l1();
    const std::uint64_t needed = divide_up(request_.size, header_.l1_coverage());
    if (old.size() < needed) {
        return false;
    }
    const auto same = static_cast<std::ptrdiff_t>(std::min(l1_.size(), old.size()));
    return std::equal(old.begin(), old.begin() + same, l1_.begin()) &&
           std::all_of(old.begin() + same, old.end(), [](std::uint64_t entry) { return entry == 0; });
}

void Commit::write_l1() {
    if (keeps_l1()) {
        references_.add({header_.l1_offset, std::uint64_t{header_.l1_size} * 8}, By::metadata);
        return;
    }
    std::vector<std::uint64_t> words = l1_;
    words.resize(round_up(words.size() * 8, cluster_size_) / 8);
    const std::uint64_t offset = disk_.tail().append(words.size() * 8 / cluster_size_);
    swap_words(words);
    write_fresh(file_, offset, std::as_bytes(std::span(words)));
    change_.l1 = {offset, static_cast<std::uint32_t>(l1_.size())};
}

void Commit::find_unneeded() {
    const std::uint64_t tail_start = disk_.tail().start();
    const std::uint64_t file_size = metadata_.file_size();
    const auto look = [&](std::uint64_t cluster, std::uint64_t refcount) {
        const std::uint64_t offset = cluster * cluster_size_;
        if (offset >= tail_start) {
            return;
        }
        if (counts_->count(cluster) != 0) {
            needed_.append({offset, cluster_size_});
        } else if (offset < file_size) {
            free_.append({offset, cluster_size_});
            if (refcount != 0) {
                becoming_free_.append({offset, cluster_size_});
            }
        }
    };
    for_each_cluster(present_counts_, references_.clusters(), look);
    const Range tail{tail_start, disk_.tail().end() - tail_start};
    const ExtentSet unused = disk_.tail().unused();
    needed_ = needed_.unite(unused.complement(tail));
    free_ = free_.unite(unused);
    becoming_free_ = becoming_free_.unite(unused);
    needed_end_ = needed_.span().end();
}

/// The last cluster may never have been written: it is there all the same.
void Commit::fill_file() {
    const std::uint64_t end = disk_.tail().end();
    if (end > disk_.tail().start() && file_.status().size < end) {
        file_.truncate(end);
    }
}

void Commit::switch_over() {
    if (!switch_->empty()) {
        switch_->perform();
    }
}

void Commit::give_back() {
    switch_->restore_feature_names();
    Unneeded unneeded;
    unneeded.held = held_bytes(file_, free_.rounded_inward(host_block));
    unneeded.holes = unneeded.held.unite(becoming_free_.rounded_inward(host_block));
    unneeded.end = needed_end_;
    const std::uint64_t file_size = file_.status().size;
    if (unneeded.holes.empty() && unneeded.end >= file_size) {
        return;
    }
    qcow2::give_back(
        file_, file_size, unneeded, [] {}, [](std::uint64_t) {});
    file_.sync();
}

} // namespace disktool::qcow2
