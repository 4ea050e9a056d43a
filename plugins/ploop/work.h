// SPDX-License-Identifier: LGPL-2.1-or-later
// A new state of the top delta in the making: what changes is written into unused clusters of the file, and the
// new BAT takes the place of the old one at one instant (bat_switch.h).
#pragma once

#include "delta.h"

#include <disktool/block_device.h>
#include <disktool/doors.h>
#include <disktool/working_disk.h>

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>

namespace disktool::ploop {

/// See WorkingDisk. Clusters that the old state uses are never written before the switch. After it the tail
/// moves into the holes and the file is cut. Owns nothing; the references outlive it. Threads: any (one after
/// the other).
class Work final : public WorkingDisk {
  public:
    /// `top`: open for writing, not begun, a ploop1 file. `present`: the disk as it is. `below`: what shows
    /// through the top, or null. `settled` is called with the disk's new size in sectors when the new BAT holds
    /// (see Settled); `done` after that, to give the host what only the old state needed. Both may be empty.
    Work(Doors doors, Delta& top, BlockDevice& present, BlockDevice* below, std::uint64_t size,
         std::function<void(std::uint64_t)> settled, std::function<void()> done);
    ~Work() override;

    std::uint64_t size() const override { return size_; }
    std::string name() const override { return present_.name(); }
    bool concurrent() const override { return true; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override;
    std::vector<Extent> extents(Range range) override;
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    void discard(Range range) override;
    void zero(Range range) override;
    /// Nothing of it counts before the commit, which syncs.
    void flush() override {}
    std::uint64_t space_taken() const override;
    void commit(const WorkCommit& request) override;

  private:
    using Cluster = std::uint64_t;
    static constexpr std::uint64_t cleared = 0;

    void abandon() noexcept;
    std::uint64_t new_place();
    std::uint64_t cluster_end(Cluster cluster) const;
    bool reads_zero(Cluster cluster);
    void clear(Cluster cluster);
    void read_cluster(Cluster cluster, std::span<std::byte> buffer);
    void place(Cluster cluster, std::span<const std::byte> data);
    void write_part(std::uint64_t offset, std::span<const std::byte> data);
    void move_out_of(std::uint64_t data_start);
    std::vector<std::uint32_t> new_bat(const Header& header, const WorkCommit& request);
    void reserve(const Header& header);

    Doors doors_;
    Delta& top_;
    BlockDevice& present_;
    BlockDevice* below_;
    const std::uint64_t size_;
    const std::uint64_t cluster_size_;
    const std::uint64_t file_size_; ///< bytes, before the work
    const std::function<void(std::uint64_t)> settled_;
    const std::function<void()> done_;
    mutable std::mutex mutex_;
    std::map<Cluster, std::uint64_t> changed_; ///< guest cluster → its place in the file (bytes), or `cleared`
    std::set<std::uint64_t> unused_;           ///< places that nothing refers to, by cluster number of the file
    std::uint64_t end_;                        ///< of the file, in clusters
    std::uint64_t first_place_;                ///< a longer BAT will need what lies before it
    std::uint64_t taken_ = 0;
    bool over_ = false;
};

} // namespace disktool::ploop
