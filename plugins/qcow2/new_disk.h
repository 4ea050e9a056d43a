// SPDX-License-Identifier: LGPL-2.1-or-later
// The content of a disk's new state: what is written goes to clusters to which nothing refers, the rest is read
// from the present state.
#pragma once

#include "changed_ranges.h"
#include "image.h"
#include "overlay.h"
#include "tail.h"

#include <disktool/block_device.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace disktool::qcow2 {

/// Changes nothing that the present state consists of. Refers to the image. Threads: one at a time.
class NewDisk {
  public:
    /// size: of the new state, bytes, at least the present size. tail_start: see Tail.
    NewDisk(Image& image, std::uint64_t size, std::uint64_t tail_start);

    std::uint64_t size() const { return size_; }
    std::uint64_t old_size() const { return old_size_; }

    // As BlockDevice has them; the caller has checked the range.
    void read(std::uint64_t offset, std::span<std::byte> buffer);
    std::vector<Extent> extents(Range range);
    void write(std::uint64_t offset, std::span<const std::byte> data);
    void discard(Range range);
    void zero(Range range);
    bool take_from(std::uint64_t offset, File& source, Range from);

    // For the commit; none of it changes what is read, but in `force_clear`.
    /// Gives the cluster a place of its own with what it reads as; beyond `end` (bytes of the disk): zeros.
    void copy(std::uint64_t cluster, std::uint64_t end);
    /// Says that it is zeros, whatever the present state says.
    void force_clear(std::uint64_t cluster) { overlay_.set(cluster, Overlay::cleared); }
    /// Clusters in a row that read as zeros get places that do so.
    void place_zeros(std::uint64_t cluster, std::uint64_t count);
    bool reads_zero(std::uint64_t cluster);
    /// What was written from this cluster on will not be part of the disk.
    void cut(std::uint64_t cluster);

    const Overlay& overlay() const { return overlay_; }
    Tail& tail() { return tail_; }
    const Tail& tail() const { return tail_; }
    ChangedRanges& changed() { return changed_; }

  private:
    Image& image_;
    Metadata& metadata_;
    File& file_;
    std::uint64_t cluster_size_;
    std::uint64_t old_size_;
    std::uint64_t size_;
    Overlay overlay_;
    Tail tail_;
    ChangedRanges changed_;
    std::vector<std::byte> buffer_;

    std::uint64_t backing_size() const;
    std::uint64_t clusters() const;
    void read_old(std::uint64_t offset, std::span<std::byte> buffer);
    /// The present state reads as zeros there, and keeps no cluster of the file for it.
    bool is_nothing(std::uint64_t cluster);
    /// So many clusters from this one on, perhaps 0, of which the same is known at a glance.
    std::uint64_t surely_nothing(std::uint64_t cluster, std::uint64_t limit);
    void clear(std::uint64_t cluster);
    void write_whole(std::uint64_t cluster, std::span<const std::byte> data);
    void write_row(std::uint64_t cluster, std::span<const std::byte> data);
    void write_part(std::uint64_t cluster, std::uint64_t within, std::span<const std::byte> data);
    void zero_part(std::uint64_t offset, std::uint64_t length);
    void place_and_write(std::uint64_t cluster, const Tail::Run& run, std::uint64_t within,
                         std::span<const std::byte> data);
};

} // namespace disktool::qcow2
