// SPDX-License-Identifier: LGPL-2.1-or-later
// A chain of deltas as one disk.
#pragma once

#include "delta.h"
#include "io_gate.h"

#include <disktool/block_device.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
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
/// A top that is being drained gets no new clusters: what it has not goes to the delta below, which is open for
/// writing, too; and drain() moves what it has there. See docs/ploop-devices.md.
///
/// Owns its deltas. Threads: any number. Reads and writes of allocated clusters go side by side, also with a
/// flush; so do clusters that get places, but for those that two threads want. Freeing, and what is said to
/// do so below, waits until nobody is inside and lets nobody in meanwhile. What is done to a delta itself
/// (grow, compact, ...) is done alone, or in a Pause.
class ChainDevice final : public BlockDevice {
  public:
    using Deltas = std::vector<std::unique_ptr<Delta>>;

    /// Base first; all of one cluster size, else Error(damaged).
    explicit ChainDevice(Deltas deltas, std::string name);

    std::uint64_t size() const override;
    std::string name() const override { return name_; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override;
    std::optional<Place> hold(Range range) override;
    void release() noexcept override;
    std::optional<Place> hold_to_write(Range range) override;
    void written(const Place& place, std::uint64_t length) noexcept override;
    std::vector<Extent> extents(Range range) override;
    bool writable() const override;
    bool concurrent() const override { return true; }
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    void discard(Range range) override;
    void zero(Range range) override;
    void flush() override;

    /// Delta::grow_file_by() for whatever delta gets new clusters. Set before the device is used by threads.
    void grow_files_by(std::uint64_t bytes) { file_step_ = bytes; }

    // At rest, in a Pause, or by the one thread that changes the chain.
    Delta& top() { return *deltas_.back(); }
    const Deltas& deltas() const { return deltas_; }
    /// The delta that holds the cluster, as an index into deltas(); none: zeros.
    std::optional<std::size_t> holder(std::uint64_t cluster) const;
    void begin() { top().begin(); }
    /// Of a top that is being drained: the one below first.
    void end();

    // Changes of a chain that is in use, by one thread at a time. chain_change.cpp.
    class Pause;
    bool draining() const { return draining_; }
    struct Drained {
        std::uint64_t next;  ///< the first cluster that was not looked at; at least one was, up to the end
        std::uint64_t moved; ///< clusters
    };
    /// The top's clusters from `cluster` on go down until `most_bytes` are moved (a cluster at least) or it has
    /// no more. Guest I/O waits. Throws no_space, SystemError: what was not moved is where it was.
    Drained drain(std::uint64_t cluster, std::uint64_t most_bytes);
    /// The last `most` of the top's clusters that fit into holes before them.
    std::vector<Delta::Move> tail(std::uint64_t most);
    /// Moves those of them that are still there and have a hole before them. Guest I/O waits. Returns how many.
    std::uint64_t move_down(std::span<const Delta::Move> moves);
    /// Cuts the top's file behind its last used place. Returns bytes cut off.
    std::uint64_t cut_tail();
    /// Delta::make_way() and clear_way() of the top. Guest I/O waits for the first.
    std::uint64_t make_way(std::uint64_t disk_sectors, std::uint64_t most);
    void clear_way(std::uint64_t disk_sectors);
    std::uint64_t holes() const; ///< in the top's file

  private:
    struct Piece {
        std::size_t level;                   ///< of the delta; size() of deltas_: nowhere
        std::optional<std::uint64_t> offset; ///< in its file
        std::uint64_t clusters;
    };
    /// From this cluster on, at most `limit` that lie one behind the other in one file, or nowhere. Only levels
    /// from `lowest` to below `levels` are looked at.
    Piece find(std::uint64_t cluster, std::uint64_t limit, std::size_t lowest, std::size_t levels) const;
    /// In a delta that is written to.
    Piece find_own(std::uint64_t cluster, std::uint64_t limit) const {
        return find(cluster, limit, lowest_own(), deltas_.size());
    }
    /// Of a piece that begins in the range's first cluster.
    bool has_all(const Piece& piece, Range range) const;
    std::optional<Place> place_in(const Piece& piece, Range range, const File::Direct& direct) const;
    std::size_t lowest_own() const { return deltas_.size() - (draining_ ? 2 : 1); }
    std::uint64_t disk_size() const { return deltas_.back()->disk_size(); }
    void read_below(std::uint64_t offset, std::span<std::byte> buffer, std::size_t levels) const;
    void append_extents(std::vector<Extent>& result, Range range, const Piece& piece) const;
    std::uint64_t overwrite(std::uint64_t offset, std::span<const std::byte> data);
    void write_new(std::uint64_t offset, std::span<const std::byte> data);
    std::uint64_t write_some_new(std::uint64_t offset, std::span<const std::byte> data);
    std::span<const std::byte> filled_cluster(std::uint64_t cluster, std::uint64_t inside,
                                              std::span<const std::byte> data,
                                              std::unique_lock<std::mutex>& placing);
    void place(std::unique_lock<std::mutex>& placing, std::uint64_t cluster, std::span<const std::byte> data);
    enum class Clearing { discard, zero };
    void clear(Range range, Clearing clearing);
    enum class Fate { nothing, zeros, free };
    struct Cleared {
        Fate fate;
        std::uint64_t clusters;
    };
    Cleared fate_of(std::uint64_t cluster, std::uint64_t limit, Clearing clearing) const;
    std::uint64_t clear_clusters(std::uint64_t cluster, std::uint64_t end, Clearing clearing);
    void free_clusters(std::uint64_t cluster, std::uint64_t count);
    void write_zeros(Range range);
    bool write_some_zeros(Range range, std::uint64_t& done);
    void flush_deltas();

    const std::uint64_t unit_; ///< bytes of a cluster
    std::string name_;
    // Changed by who holds flushing_ and has closed the gate.
    Deltas deltas_;
    bool draining_ = false;
    std::uint64_t file_step_ = 0;

    // In this order where several are held.
    std::mutex flushing_;
    mutable IoGate gate_;           ///< whoever uses places that it has looked up is inside
    mutable std::mutex allocation_; ///< whoever places or frees, and a flush for a moment
    /// Clusters that get their places now, with allocation_: who else wants to write them waits for placed_.
    std::vector<Range> placing_; ///< in clusters
    std::condition_variable placed_;
    PageBuffer filled_; ///< for what is moved, with allocation_
    std::atomic<std::uint64_t> flushes_begun_ = 0;
    std::uint64_t flushed_ = 0;    ///< the last flush that has ended well; with flushing_
    std::function<void()> owed_{}; ///< with flushing_
};

/// As long as this lives nobody reads, writes or flushes; who wants to waits. One at a time.
class ChainDevice::Pause {
  public:
    /// Returns when the last one who was inside has gone. A flush that runs is waited for before anybody else
    /// has to wait.
    explicit Pause(ChainDevice& device);
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;
    ~Pause() = default;

    /// How long guest I/O has been held up so far.
    std::chrono::microseconds length() const;
    /// What was written so far, on stable storage.
    void flush();
    /// A new top: from now on what is written goes there. Begun, empty, as large as the disk.
    void push_top(std::unique_ptr<Delta> delta);
    /// Others in the place of `count` levels from `first` on, with the same content seen from above. Returns
    /// the old ones, for the caller to close when the pause is over.
    Deltas exchange(std::size_t first, std::size_t count, Deltas others);
    /// The level below the top must be begun and at least as large.
    void start_draining();
    void stop_draining();
    /// What flush() does first until it succeeds: something else that must be on stable storage before the
    /// guest may believe that its data is.
    void owe(std::function<void()> action) { device_.owed_ = std::move(action); }

  private:
    ChainDevice& device_;
    std::lock_guard<std::mutex> flushing_;
    const std::chrono::steady_clock::time_point start_;
    std::lock_guard<IoGate> gate_;
};

} // namespace disktool::ploop
