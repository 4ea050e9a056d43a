// SPDX-License-Identifier: LGPL-2.1-or-later
// A chain of deltas as one disk.
#pragma once

#include "delta.h"

#include <disktool/block_device.h>

#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

namespace disktool::ploop {

/// What the guest sees of a chain: the top delta's clusters, and where it has none those below. A delta that is
/// shorter than the top has nothing behind its end; what a longer one has behind the top's end shows up when
/// the top grows. Without begin() it is read-only.
///
/// Writing goes to the top: a cluster that it has is overwritten, another gets a place and is filled from
/// below. discard() and zero() of whole clusters free them where nothing shines through from below, else zeros
/// are written. What discard() finds only below it leaves alone, and parts of clusters, too: it must not make
/// the image larger. A raw top becomes sparse where it is discarded.
///
/// Owns its deltas. Threads: any number. Reads and writes of allocated clusters go side by side; clusters get
/// places one after the other, without holding the former up. What is done to a delta itself (grow, compact,
/// ...) is done alone.
class ChainDevice final : public BlockDevice {
  public:
    /// Base first; all of one cluster size, else Error(damaged).
    explicit ChainDevice(std::vector<std::unique_ptr<Delta>> deltas, std::string name);

    std::uint64_t size() const override;
    std::string name() const override { return name_; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override;
    std::vector<Extent> extents(Range range) override;
    bool writable() const override;
    bool concurrent() const override { return true; }
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    void discard(Range range) override;
    void zero(Range range) override;
    void flush() override;

    Delta& top() { return *deltas_.back(); }
    const std::vector<std::unique_ptr<Delta>>& deltas() const { return deltas_; }
    /// The delta that holds the cluster, as an index into deltas(); none: zeros.
    std::optional<std::size_t> holder(std::uint64_t cluster) const;
    void begin() { top().begin(); }
    void end() { top().end(); }

  private:
    struct Piece {
        std::size_t level;                   ///< of the delta; size() of deltas_: nowhere
        std::optional<std::uint64_t> offset; ///< in its file
        std::uint64_t clusters;
    };
    /// From this cluster on, at most `limit` that lie one behind the other in one file, or nowhere. Levels from
    /// `levels` on are left out.
    Piece find(std::uint64_t cluster, std::uint64_t limit, std::size_t levels) const;
    void read_below(std::uint64_t offset, std::span<std::byte> buffer, std::size_t levels) const;
    void append_extents(std::vector<Extent>& result, Range range, const Piece& piece) const;
    std::uint64_t overwrite(std::uint64_t offset, std::span<const std::byte> data);
    void write_new(std::uint64_t offset, std::span<const std::byte> data);
    enum class Clearing { discard, zero };
    void clear(Range range, Clearing clearing);
    void write_zeros(Range range);

    std::vector<std::unique_ptr<Delta>> deltas_;
    std::string name_;
    /// Of the top. First allocation_, then in_place_, where both are held.
    std::mutex allocation_; ///< whoever places, frees or flushes
    /// A new cluster, for whoever holds allocation_; kept since large buffers are slow to get.
    std::vector<std::byte> filled_;
    std::shared_mutex in_place_; ///< shared: who uses places that it has looked up; exclusive: who frees some
};

} // namespace disktool::ploop
