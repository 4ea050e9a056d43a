// SPDX-License-Identifier: LGPL-2.1-or-later
// What RunningDisk::open() makes. The verbs are in running_*.cpp.
#pragma once

#include "disk_change.h"
#include "image/locks.h"
#include "running_disk.h"
#include "tracking_file.h"

#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace disktool::ploop {

class ServedDisk final : public RunningDisk {
  public:
    /// An image of the chain.
    struct Level {
        Uuid uuid; ///< none without a descriptor
        std::string path;
    };

    ServedDisk(Doors doors, RunningSource source, bool writable);
    ~ServedDisk() override;
    /// Opens the images: base first.
    void start(std::vector<Level> levels, std::uint32_t raw_cluster_sectors, std::size_t raw_count);

    ChainDevice& device() override { return *device_; }
    bool read_only() const override { return !writable_; }
    std::uint32_t cluster_sectors() const override;
    std::vector<std::string> images() const override;
    Uuid uuid() const override;
    std::optional<WholeRun> whole_run() override;

    SnapshotDone snapshot(const RunningSnapshot& request, const Freezer& freezer, const Say& say) override;
    void merge(const MergeRequest& request, const Say& say, const Watch& watch) override;
    void remove_snapshot(const Uuid& uuid, const Say& say, const Watch& watch) override;
    void replace(const RunningReplace& request, const Say& say, const Watch& watch) override;
    void grow(std::uint64_t disk_sectors, const Say& say) override;
    Compacted compact(const Watch& watch) override;
    std::uint64_t free_clusters() const override;
    TrackedRanges track_start() override;
    TrackedRanges track_next() override;
    void track_stop() override;
    void close() override;

  private:
    // What the verbs share (served_disk.cpp).
    void require_writable(const char* verb) const;
    void require_untracked() const;
    /// The descriptor, locked and read anew, for a verb. Refuses a disk that cannot have it: exit 38; 17 while
    /// writes are tracked.
    std::unique_ptr<PloopDisk> open_for(const char* verb, const Say& say) const;
    std::unique_ptr<File> open_file(const std::string& path, bool write) const;
    /// A delta with its locks, which it keeps until it is closed. Throws PloopError(dirty, locked) that names
    /// who has it.
    std::unique_ptr<Delta> open_level(const std::string& path, Access access,
                                      std::uint32_t raw_cluster_sectors) const;
    static void lock_image(File& file, Access access);
    TrackingFile& tracker() const;
    Delta& top() const { return device_->top(); }
    std::size_t level_of(const Uuid& uuid) const; ///< levels_.size(): not in the chain
    TrackedRanges tracked(std::vector<Range> ranges) const;
    void adopt(const Descriptor& descriptor); ///< its uuids, for the images that we have
    void grow_top(std::uint64_t disk_sectors);
    class LowerMerge;
    class Drain;
    /// What a verb says, and how far it is.
    struct Report {
        const Say& say;
        const Watch& watch;
        std::uint64_t done = 0, total = 0; ///< bytes
        void advance(std::uint64_t bytes);
        void check() const; ///< Error(interrupted)
    };
    void merge_segment(PloopDisk& disk, const std::string& verb, const std::vector<Uuid>& segment,
                       const std::string& new_file, Report& report);
    bool remove_one(PloopDisk& disk, const Uuid& uuid, Report& report);
    /// A level of the chain, opened again for writing and marked, in the place of the one that was.
    Delta& reopen_for_writing(std::size_t level);
    /// Others in the place of levels of the chain, which are closed.
    void exchange(std::size_t first, std::size_t count, ChainDevice::Deltas others);
    /// Null, or the error that came when the descriptor had been replaced already: the new state holds, and the
    /// caller throws it when the chain is in it, too.
    std::exception_ptr switch_over(DiskChange& change);
    void owe_folder(ChainDevice::Pause& pause, const PloopDisk& disk) const;
    std::exception_ptr take_old_name_from(const std::string& new_file, const std::string& old_file);
    static void change_lock(File& file, Access access, const Say& say);
    SnapshotDone snapshot_of_images(const RunningSnapshot& request, const Freezer& freezer, const Say& say);
    void push_images_top(std::unique_ptr<Delta> fresh, const Freezer& freezer, SnapshotDone& done);
    void say_creation(const std::string& file, const Freezer& freezer, const Say& say) const;
    SnapshotDone switch_top(DiskChange& change, std::unique_ptr<Delta> fresh, const Freezer& freezer);

    Doors doors_;
    const RunningSource source_;
    const bool writable_;
    std::unique_ptr<ChainDevice> device_;
    mutable std::mutex mutex_;  ///< of levels_, which other threads ask for
    std::vector<Level> levels_; ///< as those of the device
};

} // namespace disktool::ploop
