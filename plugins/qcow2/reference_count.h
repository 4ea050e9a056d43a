// SPDX-License-Identifier: LGPL-2.1-or-later
// How often each cluster of an image file is really referenced, as its metadata says.
#pragma once

#include <disktool/range.h>

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace disktool::qcow2 {

/// Exact counts by host cluster. Memory: 2.4 bytes a cluster, 4.4 where references will go, and none for the
/// parts of the file that nothing refers to; a file of more than max_clusters is refused as unsupported.
/// Errors: damaged for a reference beyond the end of the file; unsupported for more than 65534 references to
/// one cluster. Threads: one at a time.
class ReferenceCount {
  public:
    static constexpr std::uint64_t max_clusters = std::uint64_t{1} << 28;

    ReferenceCount(std::string path, std::uint64_t file_size, std::uint64_t cluster_size);

    /// Who refers.
    enum class By {
        metadata,      ///< what exists once: header, tables, bitmaps
        snapshot,      ///< an internal snapshot
        active_copied, ///< the active tables, by an entry that says it is the only one
        active,        ///< the active tables, by one that does not
        compressed,    ///< the active tables, by a compressed cluster, whose entry never says so
    };
    /// One more for every cluster that `place` touches (bytes of the file).
    void add(Range place, By by);
    /// One of its references will go: see removed().
    void remove(Range place);

    std::uint64_t clusters() const { return clusters_; } ///< of the file; what lies beyond has no references

    struct Cell {
        std::uint32_t references = 0;
        std::uint32_t removed = 0;    ///< of these, how many will go
        bool in_snapshot = false;     ///< By::snapshot is among them
        bool said_to_be_one = false;  ///< By::active_copied is among them
        bool said_to_be_more = false; ///< By::active is among them
    };
    Cell at(std::uint64_t cluster) const;
    /// Does a snapshot refer to any of them?
    bool in_snapshot(Range place) const;

  private:
    static constexpr std::size_t page_clusters = 4096;
    struct Page {
        std::array<std::uint16_t, page_clusters> references{};
        std::unique_ptr<std::array<std::uint16_t, page_clusters>> removed; ///< null: none
        std::bitset<page_clusters> in_snapshot;
        std::bitset<page_clusters> said_to_be_one;
        std::bitset<page_clusters> said_to_be_more;
    };
    std::uint64_t first(Range place) const { return place.offset / cluster_size_; }
    std::uint64_t last(Range place) const { return (place.end() - 1) / cluster_size_; }

    std::string path_;
    std::uint64_t cluster_size_;
    std::uint64_t clusters_;
    std::vector<std::unique_ptr<Page>> pages_;
};

} // namespace disktool::qcow2
