// SPDX-License-Identifier: LGPL-2.1-or-later
// How every verb gets from one descriptor to the next: the files that it makes and gives up, and the instant
// between.
#pragma once

#include "left_over.h"
#include "operations.h"

#include <disktool/plan.h>

#include <memory>
#include <string>
#include <vector>

namespace disktool::ploop {

/// The order of a change: job file written → X.xml.tmp stored → images made or changed (by the steps) →
/// X.xml.tmp renamed to X.xml, folder synced: from here on the new state holds → files that are not named any
/// more removed → job file removed. Shared by the steps of a plan. The disk must outlive it.
class DiskChange {
  public:
    /// `after`: what the descriptor is to say.
    DiskChange(PloopDisk& disk, std::string verb, Descriptor new_descriptor);

    PloopDisk& disk;
    const Descriptor after;
    // Absolute paths, told before begin().
    void will_make(const std::string& path) { made_.push_back(path); }
    void will_remove(const std::string& path) { gone_.push_back(path); }
    void will_change(const std::string& path) { changing_.push_back(path); }
    void will_grow_to(std::uint64_t disk_sectors) { job_.disk_sectors = disk_sectors; }
    /// The data of these, lowest first, goes into the file of the lowest, which will_change(); the others'
    /// will_remove(). What a killed run leaves of it is finished by the next one.
    void will_merge(std::vector<Uuid> lowest_first) { job_.merge = std::move(lowest_first); }
    const std::string& verb() const { return job_.verb; }
    const std::vector<std::string>& gone() const { return gone_; }

    /// The first call writes the job file and X.xml.tmp.
    void begin();
    /// A file of will_make() is there, and still empty.
    void made(File& file);
    void switch_over();
    /// Removes what is not named any more, and the job file.
    void finish();
    bool switched() const { return switched_; }
    /// The descriptor has been replaced, though that may not be on stable storage.
    bool replaced() const { return switching_ || switched_; }

    /// Before the switch: removes what was made. Where the switch failed in a way that leaves open which state
    /// holds, all stays as it is for the next run to decide.
    void roll_back();
    /// An image could not be closed: the job file must stay.
    void leave_to_next_run() { left_ = true; }

  private:
    bool has_files() const { return !made_.empty() || !gone_.empty() || !changing_.empty(); }
    void store_temporary() const;
    void refuse_shared_files() const;

    DiskJob job_;
    std::vector<std::string> made_, gone_, changing_;
    bool begun_ = false, stored_ = false, switching_ = false, switched_ = false, left_ = false;
};

/// Only says a line.
std::unique_ptr<Step> say_step(PloopDisk& disk, const std::string& line, const std::string& text);
/// Makes a delta like that of `like`, empty.
std::unique_ptr<Step> create_delta_step(std::shared_ptr<DiskChange> change, const std::string& path,
                                        const Uuid& like);
/// The instant. `say_at_end`: where nothing is left to be removed.
std::unique_ptr<Step> store_step(std::shared_ptr<DiskChange> change, const std::string& text,
                                 const std::string& say_at_end);
std::unique_ptr<Step> remove_step(std::shared_ptr<DiskChange> change, const std::string& say_at_end);
/// store_step, and remove_step where files go.
void add_switch(Plan& plan, const std::shared_ptr<DiskChange>& change, const std::string& text,
                const std::string& say_at_end);

/// Removes .statfs, the usage that an unmount stored, where it is there; else null. For verbs that change what
/// the top holds.
std::unique_ptr<Step> forget_usage_step(const PloopDisk& disk);

/// Refuses what no verb on snapshots can work on: the old format.
void require_plain(const PloopDisk& disk);
[[noreturn]] void refuse(const std::string& sentence, Reason reason = Reason::none); ///< exit 38
/// A snapshot with a change bitmap.
void refuse_bitmap(const PloopDisk& disk, const SnapshotRequest& request);
[[noreturn]] void refuse_unknown(const PloopDisk& disk, const Uuid& uuid); ///< exit 43

} // namespace disktool::ploop
