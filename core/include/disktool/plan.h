// SPDX-License-Identifier: LGPL-2.1-or-later
// What is to be done, as data: a verb makes a Plan, a printer shows it, a Job carries it out.
#pragma once

#include <disktool/api.h>
#include <disktool/doors.h>
#include <disktool/progress.h>
#include <disktool/workbench.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace disktool {

class Appliance;

/// What a step will cost, in bytes.
struct Cost {
    std::uint64_t read = 0;
    std::uint64_t written = 0;
    std::uint64_t discarded = 0; ///< given back to the host
    std::uint64_t space = 0;     ///< free space that the host must have

    /// The measure of progress.
    std::uint64_t work() const { return read + written + discarded; }
    Cost& operator+=(const Cost& other);
};

using DetailValue = std::variant<bool, std::uint64_t, std::string>;
/// Particulars by name, for JSON and for the report.
using Details = std::vector<std::pair<std::string, DetailValue>>;

/// What a step may use while it runs. Belongs to the job.
class DISKTOOL_API StepContext {
  public:
    StepContext() = default;
    StepContext(const StepContext&) = delete;
    StepContext& operator=(const StepContext&) = delete;
    virtual ~StepContext();

    virtual Doors doors() = 0;
    virtual CancelToken& cancel() = 0;
    /// So many more bytes of Cost::work() are done.
    virtual void advance(std::uint64_t bytes) = 0;
    /// A figure of what really came of it, for the report: ("bytes_freed", 1 << 30). The same name adds up.
    virtual void report(const std::string& name, std::uint64_t amount) = 0;
    virtual void warn(const std::string& sentence) = 0;
    /// A child of ours (QEMU) is about to open the image for writing: releases our QEMU-style byte-range locks,
    /// which would shut it out, while it lives. The flock stays, so no other disktool comes in between.
    virtual void lend_image_to_child() = 0;
    virtual void take_image_back() = 0;
    /// Booted at the first call; throws program_missing where there is none.
    virtual Appliance& appliance() = 0;
    /// Of a plan with a WorkSpec: made at the first call.
    virtual Workbench& workbench() = 0;
    /// Ends all that works on the workbench and switches the image from the old state to the new one.
    virtual void commit_work(const WorkCommit& request) = 0;
};

/// One thing to do. Owned by its Plan; refers to the Image or Filesystem that made it, which must outlive the
/// Plan.
class DISKTOOL_API Step {
  public:
    Step() = default;
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;
    virtual ~Step();

    /// A word for machines and the job record: "qcow2.free-clusters".
    virtual std::string kind() const = 0;
    /// What it will do, in one line, without a full stop.
    virtual std::string text() const = 0;
    virtual Cost cost() const { return {}; }
    virtual Details details() const { return {}; }
    /// "native", "qemu" or "appliance".
    virtual std::string engine() const { return "native"; }
    /// Does it. Looks at ctx.cancel() where stopping is safe; leaves a valid image however it ends.
    virtual void commit(StepContext& context) = 0;
    /// Why there is nothing to undo, as a sentence; empty where undo() does something.
    virtual std::string needs_no_undo() const = 0;
    /// Takes back what commit did, wholly or in part. Called for the steps begun so far, last first: the first
    /// call is for the one that failed.
    virtual void undo(StepContext& context);
};

/// How the next run recovers when this job is killed. Written to the job record.
enum class Recovery {
    /// Each step leaves a valid image at every moment; what may be left over is leaked clusters, mended by
    /// Image::plan_mend, and then the verb can simply be run again.
    mend,
};

/// A file that a killed job may leave behind, for the next run to remove.
struct LeftBehind {
    std::string path;
    /// A file that the job makes: removed whatever became of it. Else a file that was there before (a backing
    /// file that is merged): removed only when the image has no backing file any more, and only while it is the
    /// file that it was.
    bool made_by_job = false;
};

/// Steps in order, with notes for the reader. Moves, does not copy.
class DISKTOOL_API Plan {
  public:
    Plan(std::string verb, std::string image) : verb_(std::move(verb)), image_(std::move(image)) {}

    const std::string& verb() const { return verb_; }
    const std::string& image() const { return image_; }
    void add(std::unique_ptr<Step> step) { steps_.push_back(std::move(step)); }
    /// Something to know that is not a step: why a partition is left alone, which engine and why.
    void note(std::string sentence) { notes_.push_back(std::move(sentence)); }
    const std::vector<std::unique_ptr<Step>>& steps() const { return steps_; }
    const std::vector<std::string>& notes() const { return notes_; }
    bool empty() const { return steps_.empty(); }
    /// For another plan to take them over. This one is empty afterwards.
    std::vector<std::unique_ptr<Step>> release_steps() { return std::exchange(steps_, {}); }
    Cost cost() const; ///< sum; for space, the largest
    Recovery recovery() const { return recovery_; }
    void set_recovery(Recovery recovery) { recovery_ = recovery; }
    /// Which new state of the disk the steps will work on; none: they work on the image itself.
    const std::optional<WorkSpec>& work() const { return work_; }
    void set_work(WorkSpec work) { work_ = std::move(work); }
    /// For the job record.
    const std::vector<LeftBehind>& left_behind() const { return left_behind_; }
    void leaves_behind(LeftBehind file) { left_behind_.push_back(std::move(file)); }
    /// A file that may have taken the image's name when the job is killed; empty: none.
    const std::string& successor() const { return successor_; }
    void set_successor(std::string path) { successor_ = std::move(path); }

  private:
    std::string verb_;
    std::string image_;
    std::vector<std::unique_ptr<Step>> steps_;
    std::vector<std::string> notes_;
    Recovery recovery_ = Recovery::mend;
    std::optional<WorkSpec> work_;
    std::vector<LeftBehind> left_behind_;
    std::string successor_;
};

} // namespace disktool
