// SPDX-License-Identifier: LGPL-2.1-or-later
// What can be done to a ploop disk at rest. Each operation makes a Plan: nothing is touched before its steps
// are committed, so --dry-run prints the same plan that else is run.
#pragma once

#include "delta.h"
#include "descriptor.h"
#include "disk.h"
#include "plan/run_plan.h"
#include "ploop_error.h"

#include <disktool/doors.h>
#include <disktool/plan.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace disktool::ploop {

/// Lines of progress for people, as the original prints them to stdout ("Storing X.xml").
using Say = std::function<void(const std::string& line)>;

struct DiskOptions {
    Access access = Access::write;
    std::chrono::seconds wait{60};    ///< for the lock
    std::vector<std::string> allowed; ///< folders besides the descriptor's own, for image files
    /// Also the locks on the base image by which newer versions of the original know each other. Not where the
    /// core has opened the image, which holds locks on the same bytes.
    bool lock_base_image = false;
    /// Opened by the process that serves the disk: its images are in use, by us. Nothing is recovered.
    bool served_by_us = false;
    CancelToken* cancel = nullptr;
    Say say = [](const std::string&) {};
};

class DescriptorLock; // descriptor_lock.h

/// A merge that a killed run had begun, and that opening the disk has brought to its end.
struct FinishedMerge {
    Descriptor before;
    std::vector<Uuid> segment; ///< lowest first
};

/// A disk named by its descriptor, locked (Access::write) for as long as this lives. Opening for writing first
/// finishes or rolls back what an interrupted run left (X.xml.tmp, IMAGE.idx, unfinished files), and says so.
class PloopDisk {
  public:
    /// Throws PloopError(no_descriptor | bad_descriptor).
    static std::unique_ptr<PloopDisk> open(Doors doors, const std::string& descriptor_path,
                                           const DiskOptions& options);
    ~PloopDisk();

    Doors doors() const { return doors_; }
    const std::string& path() const { return path_; } ///< of the descriptor, absolute
    const DiskOptions& options() const { return options_; }
    void say(const std::string& line) const { options_.say(line); }
    /// Who asks for just this merge again has it, and must not get another one.
    std::optional<FinishedMerge> finished_merge;
    Descriptor descriptor; ///< as stored; an operation changes a copy, stores it, and puts it here

    std::string file_of(const Uuid& uuid) const; ///< absolute path, through the gate
    /// The same for a file that is to become a part of the disk, and need not exist yet. A relative name is of
    /// the working folder, as everywhere on a command line.
    std::string gated(const std::string& path) const;
    std::unique_ptr<Delta> open_delta(const Uuid& uuid, Access access, bool dirty_too = false) const;
    /// Base up to `uuid`; only the last one is opened with `access`.
    std::unique_ptr<ChainDevice> open_chain(const Uuid& uuid, Access access) const;
    /// A new snapshot delta of the top's size, cluster size and version (a raw top: version 2), synced with its
    /// folder. `created` is called while the file is still empty.
    void create_delta(const std::string& path, const Delta& like,
                      const std::function<void(File&)>& created = {}) const;

  private:
    PloopDisk(Doors doors, std::string path, DiskOptions options);
    Doors doors_;
    std::string path_;
    DiskOptions options_;
    std::unique_ptr<DescriptorLock> lock_;
};

/// The descriptor says this size from now on; nothing is written where it says so already.
void store_size(PloopDisk& disk, std::uint64_t disk_sectors);
/// The same with what the header of the top says, which is what counts.
void store_size_of_top(PloopDisk& disk);

// Snapshots (snapshot.cpp, snapshot_merge.cpp).
struct SnapshotRequest {
    std::optional<Uuid> uuid;          ///< none: random
    std::optional<std::string> bitmap; ///< -b: a plain uuid; a new change bitmap begins
};
Plan plan_snapshot(PloopDisk& disk, const SnapshotRequest& request);
struct SwitchRequest {
    Uuid uuid;
    bool keep_old_top = false; ///< -D
};
Plan plan_snapshot_switch(PloopDisk& disk, const SwitchRequest& request);
Plan plan_snapshot_delete(PloopDisk& disk, const Uuid& uuid);
struct MergeRequest {
    std::optional<Uuid> uuid;      ///< none: the top
    std::optional<Uuid> range_end; ///< -U
    bool all = false;              ///< -A
    std::string new_file;          ///< -n; empty: into the parent
};
Plan plan_snapshot_merge(PloopDisk& disk, const MergeRequest& request);

// Whole disks.
struct InitRequest {
    std::string image; ///< the file to be made; its descriptor lies beside it
    std::uint64_t disk_sectors = 0;
    DiskMode mode = DiskMode::expanded;
    Version version = Version::v2;
    std::uint32_t cluster_sectors = default_cluster_sectors;
    /// What is put on the new disk before it bears its name: a partition table and a file system. Empty:
    /// nothing. A format knows nothing of these, so whoever asks brings it along. `scratch`: a file name that
    /// may be used meanwhile.
    std::function<void(StepContext& context, BlockDevice& disk, const std::string& scratch)> fill;
    std::string fill_text; ///< for the plan: "make a GPT with one partition and an ext4 on it"
};
Plan plan_init(Doors doors, const InitRequest& request, const Say& say);
Plan plan_convert_mode(PloopDisk& disk, DiskMode mode);
Plan plan_convert_version(PloopDisk& disk, Version version);
Plan plan_grow(PloopDisk& disk, std::uint64_t disk_sectors); ///< block device only
/// The new file must hold the same: all of both is read and compared before anything changes.
struct ReplaceRequest {
    // Which image: one of these.
    std::optional<Uuid> uuid{};           ///< -u
    std::string current_file{};           ///< -o
    std::optional<std::uint64_t> level{}; ///< -l: 0 is the base of the top's chain
    std::string new_file{};               ///< -i
    bool keep_name = false;
};
Plan plan_replace(PloopDisk& disk, const ReplaceRequest& request);
struct RestoreRequest {
    std::string folder, image;
    bool raw = false;
    std::uint32_t cluster_sectors = 0; ///< 0: found out
};
Plan plan_restore_descriptor(Doors doors, const RestoreRequest& request, const Say& say);
/// The low-level form: top first, base last, no descriptor.
Plan plan_merge_files(Doors doors, const std::vector<std::string>& top_to_base, const std::string& new_file,
                      bool raw_base, const Say& say);

// Copy, the receiving side (copy.cpp): a stream from `input` (pipe or socket) into a new file.
void receive_copy(Doors doors, const std::string& file, int input, std::optional<int> feedback,
                  CancelToken* cancel);

using disktool::run_plan; // plan/run_plan.h: a ploop disk has its descriptor in the place of a job record
using disktool::RunReport;

} // namespace disktool::ploop
