// SPDX-License-Identifier: LGPL-2.1-or-later
// Which guest clusters differ in the new state of a disk, and where they lie.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace disktool::qcow2 {

/// One word a guest cluster, held for those L2 tables that have a changed one (as much memory as the table).
/// Threads: one at a time.
class Overlay {
  public:
    static constexpr std::uint64_t unchanged = 0; ///< as in the present state
    static constexpr std::uint64_t cleared = 1;   ///< reads as zeros
    // Anything else: the offset in the file of its new cluster.

    explicit Overlay(std::uint64_t l2_entries) : l2_entries_(l2_entries) {}

    static bool is_place(std::uint64_t word) { return word > cleared; }

    std::uint64_t get(std::uint64_t guest_cluster) const {
        const auto* words = table(guest_cluster / l2_entries_);
        return words != nullptr ? (*words)[guest_cluster % l2_entries_] : unchanged;
    }
    void set(std::uint64_t guest_cluster, std::uint64_t word) {
        const auto found = tables_.find(guest_cluster / l2_entries_);
        if (found != tables_.end()) {
            found->second[guest_cluster % l2_entries_] = word;
        } else if (word != unchanged) {
            std::vector<std::uint64_t> words(l2_entries_);
            words[guest_cluster % l2_entries_] = word;
            tables_.emplace(guest_cluster / l2_entries_, std::move(words));
        }
    }
    /// The words of one L2 table; null: all are unchanged.
    const std::vector<std::uint64_t>* table(std::uint64_t l1_index) const {
        const auto found = tables_.find(l1_index);
        return found != tables_.end() ? &found->second : nullptr;
    }
    /// Every cluster from this one on becomes unchanged; `visit` gets the words that were not.
    template <typename Visit>
    void cut(std::uint64_t guest_cluster, Visit visit) {
        const std::uint64_t first = guest_cluster / l2_entries_;
        for (auto at = tables_.lower_bound(first); at != tables_.end(); ++at) {
            const auto from = at->first == first ? guest_cluster % l2_entries_ : 0;
            for (std::uint64_t i = from; i < l2_entries_; ++i) {
                if (at->second[i] != unchanged) {
                    visit(std::exchange(at->second[i], unchanged));
                }
            }
        }
    }
    /// How many clusters from `guest_cluster` on, at most `limit`, are of one kind and, where they have
    /// places, follow each other in the file.
    std::uint64_t run(std::uint64_t guest_cluster, std::uint64_t limit, std::uint64_t cluster_size) const {
        const std::uint64_t word = get(guest_cluster);
        std::uint64_t count = 1;
        while (count < limit) {
            const std::uint64_t next = guest_cluster + count;
            if (word == unchanged && next % l2_entries_ == 0 && table(next / l2_entries_) == nullptr) {
                count += l2_entries_;
                continue;
            }
            if (get(next) != (is_place(word) ? word + count * cluster_size : word)) {
                break;
            }
            ++count;
        }
        return count < limit ? count : limit;
    }

  private:
    std::uint64_t l2_entries_;
    std::map<std::uint64_t, std::vector<std::uint64_t>> tables_; ///< by L1 index
};

} // namespace disktool::qcow2
