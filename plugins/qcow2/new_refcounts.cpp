// SPDX-License-Identifier: LGPL-2.1-or-later
#include "new_refcounts.h"

#include "big_endian.h"
#include "tail_writer.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <span>

namespace disktool::qcow2 {

NewRefcounts::NewRefcounts(File& file, Refcounts& present, ReferenceCount& references, Tail& tail,
                           const std::map<std::uint64_t, std::uint64_t>& leaks)
    : file_(file), present_(present), references_(references), tail_(tail), leaks_(leaks) {
    const std::uint64_t cluster_size = present_.cluster_size();
    const std::span<const std::uint64_t> table = present_.table();
    blocks_.resize(
        std::max<std::uint64_t>(table.size(), divide_up(tail_.end() / cluster_size, present_.per_block())));
    references_.add(present_.place(), ReferenceCount::By::metadata);
    for (std::uint64_t index = 0; index < blocks_.size(); ++index) {
        open_.insert(open_.end(), index);
        if (index < table.size() && table[index] != 0) {
            blocks_[index].kept = table[index];
            references_.add({table[index], cluster_size}, ReferenceCount::By::metadata);
        }
    }
    settle();
}

std::uint64_t NewRefcounts::count(std::uint64_t cluster) const {
    const std::uint64_t offset = cluster * present_.cluster_size();
    if (offset >= tail_.start()) {
        return tail_.is_used(offset) ? 1 : 0;
    }
    const ReferenceCount::Cell cell = references_.at(cluster);
    std::uint64_t result = cell.references - cell.removed;
    if (!leaks_.empty()) {
        const auto leak = leaks_.find(cluster);
        result += leak != leaks_.end() ? leak->second : 0;
    }
    return result;
}

void NewRefcounts::touched(std::uint64_t offset) {
    const std::uint64_t index = offset / present_.cluster_size() / present_.per_block();
    if (index >= blocks_.size()) {
        blocks_.resize(index + 1);
    }
    open_.insert(index);
}

void NewRefcounts::settle() {
    for (;;) {
        while (!open_.empty()) {
            const std::uint64_t index = *open_.begin();
            open_.erase(open_.begin());
            look_at(index);
        }
        const bool as_it_was =
            std::ranges::all_of(blocks_, [](const Block& block) { return block.made == 0; }) &&
            std::ranges::equal(blocks_, present_.table(), {}, &Block::kept);
        if (as_it_was) {
            return;
        }
        place_table();
        if (open_.empty()) {
            return;
        }
    }
}

void NewRefcounts::look_at(std::uint64_t index) {
    Block& block = blocks_[index];
    const std::uint64_t cluster_size = present_.cluster_size();
    if (block.kept != 0) {
        bool same = true;
        present_.visit_block(index, [&](RefcountBlock& found) {
            for (std::uint64_t i = 0; i < found.size() && same; ++i) {
                same = found.get(i) == count(found.first_cluster() + i);
            }
        });
        if (same) {
            return;
        }
        const std::uint64_t old = block.kept;
        block.kept = 0;
        references_.remove({old, cluster_size});
        touched(old);
    }
    // `block` may have moved.
    if (blocks_[index].made == 0 && !all_zero(index)) {
        const std::uint64_t place = tail_.append(1);
        blocks_[index].made = place;
        touched(place);
    }
}

void NewRefcounts::place_table() {
    const std::uint64_t cluster_size = present_.cluster_size();
    const auto last = std::find_if(blocks_.rbegin(), blocks_.rend(),
                                   [](const Block& block) { return block.kept != 0 || block.made != 0; });
    const auto needed = static_cast<std::uint64_t>(blocks_.rend() - last);
    if (table_.empty()) {
        references_.remove(present_.place());
        for (std::uint64_t at = present_.place().offset; at < present_.place().end(); at += cluster_size) {
            touched(at);
        }
    } else if (needed * 8 <= table_.length) {
        return;
    } else {
        tail_.give_back(table_.offset, table_.length / cluster_size);
    }
    if (needed * 8 > max_refcount_table_bytes) {
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{}: the refcount table of an image with clusters of {} cannot count a file of "
                                "{}; convert it to a larger cluster size with \"qemu-img convert\"",
                                file_.path(), size_text(cluster_size), exact_size_text(tail_.end())),
                    Reason::size_too_large);
    }
    const std::uint64_t length = round_up(needed * 8, cluster_size);
    table_ = {tail_.append(length / cluster_size), length};
    for (std::uint64_t at = table_.offset; at < table_.end(); at += cluster_size) {
        touched(at);
    }
}

std::uint64_t NewRefcounts::counted(std::uint64_t index) const {
    const std::uint64_t first = index * present_.per_block();
    const std::uint64_t end = tail_.end() / present_.cluster_size();
    return first < end ? std::min(present_.per_block(), end - first) : 0;
}

RefcountBlock NewRefcounts::make(std::uint64_t index) const {
    RefcountBlock block(index * present_.per_block(), present_.cluster_size(), present_.bits());
    for (std::uint64_t i = 0; i < counted(index); ++i) {
        if (const std::uint64_t value = count(block.first_cluster() + i); value != 0) {
            block.set(i, value);
        }
    }
    return block;
}

bool NewRefcounts::all_zero(std::uint64_t index) const {
    const std::uint64_t first = index * present_.per_block();
    for (std::uint64_t i = 0; i < counted(index); ++i) {
        if (count(first + i) != 0) {
            return false;
        }
    }
    return true;
}

void NewRefcounts::write() {
    if (table_.empty()) {
        return;
    }
    TailWriter writer(file_);
    std::vector<std::uint64_t> table(table_.length / 8);
    for (std::uint64_t index = 0; index < blocks_.size(); ++index) {
        const auto& [kept, made] = blocks_[index];
        if (made != 0) {
            writer.put(made, make(index).bytes());
        }
        if (kept != 0 || made != 0) {
            table[index] = made != 0 ? made : kept;
        }
    }
    swap_words(table);
    writer.put(table_.offset, std::as_bytes(std::span(table)));
    writer.flush();
}

} // namespace disktool::qcow2
