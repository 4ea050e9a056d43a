// SPDX-License-Identifier: LGPL-2.1-or-later
// A disk that is mounted: the chain that its device serves, and what can be done to it meanwhile.
#pragma once

#include "descriptor.h"
#include "disk.h"
#include "operations.h"

#include <disktool/doors.h>
#include <disktool/progress.h>
#include <disktool/size.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace disktool::ploop {

struct RunningSource {
    std::string descriptor; ///< absolute; empty: the images alone
    std::optional<Uuid>
        uuid; ///< of a descriptor: up to that one (read-only unless it is the top); none: the top
    std::vector<std::string> images; ///< without a descriptor: base first
    bool raw_base = false;           ///< without a descriptor: the first is raw, with clusters of:
    std::uint32_t raw_cluster_sectors = 0;
    bool read_only = false;
    std::vector<std::string> allowed; ///< folders for image files, as of DiskOptions
    /// What a verb copies while guest I/O waits, at most (but a cluster at least), and between two flushes.
    std::uint64_t batch_bytes = 4 * MiB, round_bytes = 64 * MiB;
};

/// The clusters of the disk in one run of a file, where they are: a loop device needs no server for that.
struct WholeRun {
    std::string path;
    Range range; ///< bytes of the file
};

/// How the file system on the device is kept still for a moment. Both may be empty.
struct Freezer {
    std::function<void()> freeze = [] {};
    std::function<void()> thaw = [] {}; ///< never throws
    std::string device{};               ///< "/dev/ploop0", for what is said; empty: nothing
};

/// What was written to the top's file since the last look.
struct TrackedRanges {
    std::vector<Range> ranges; ///< of the file; sorted, whole clusters of it
    std::uint64_t file_size = 0;
};

/// Owns the chain. From open() to close() the top bears the in-use mark (unless read-only), and every image its
/// locks: flock and QEMU's bytes, exclusive on the top, shared on those below, so that neither QEMU nor another
/// of our programs changes one.
///
/// The locks tell other programs that the disk is in use from the moment that open() returns, before any state
/// file does.
///
/// Each verb takes the descriptor's lock for itself, is old-or-new at any kill of this process (docs/
/// ploop-devices.md), and holds guest I/O up for no longer than it says. Verbs: one at a time. The device:
/// any threads, also beside a verb. Errors: PloopError with the codes of the verbs at rest.
class RunningDisk {
  public:
    /// With a descriptor: its lock is held meanwhile; an interrupted verb is recovered, every delta checked and
    /// a dirty top repaired, as the original's mount does (exit 37 without a descriptor). `say`: lines for the
    /// user.
    static std::unique_ptr<RunningDisk> open(Doors doors, const RunningSource& source, const Say& say);
    virtual ~RunningDisk(); ///< without close(): as a crash leaves it

    virtual ChainDevice& device() = 0;
    virtual bool read_only() const = 0;
    virtual std::uint32_t cluster_sectors() const = 0;
    virtual std::vector<std::string> images() const = 0; ///< now; base first, absolute
    virtual Uuid uuid() const = 0;                       ///< of the top of them; none without a descriptor
    /// Before the device is served: does all of the disk lie in one run of one file? Whoever asks may write
    /// there, as long as no verb runs and the disk is not closed.
    virtual std::optional<WholeRun> whole_run() = 0;

    // Verbs. Without a descriptor only snapshots into a named file, grow, compact and tracking: else
    // PloopError(invalid_parameter). Of a read-only disk: the same.
    struct SnapshotDone {
        Uuid uuid;                    ///< none without a descriptor
        std::string file;             ///< of the new top
        std::uint64_t stalled_us = 0; ///< how long guest I/O was held up
    };
    /// Freeze, then guest I/O held up: old top flushed and closed, descriptor switched, new top in its place.
    struct RunningSnapshot {
        SnapshotRequest request{};
        bool temporary = false;
        std::string new_file{}; ///< of the new top, absolute, not there yet; empty: the descriptor names it
        bool plan_only = false; ///< refusals, and nothing else
    };
    virtual SnapshotDone snapshot(const RunningSnapshot& request, const Freezer& freezer, const Say& say) = 0;
    /// Of one verb. All of it may be left out.
    struct Watch {
        std::function<void(std::uint64_t done, std::uint64_t total)> progress{};
        /// Looked at after each call of `progress`. When cancelled: Error(interrupted), and what can be taken
        /// back is; a verb that is past that, and a snapshot, ends as if nobody had asked.
        CancelToken* cancel = nullptr;
        /// Refusals, and nothing else; `progress` is called once, with the work that there is.
        bool plan_only = false;

        void advanced(std::uint64_t done, std::uint64_t total) const;
        bool cancelled() const { return cancel != nullptr && cancel->cancelled(); }
    };
    /// As `snapshot-merge` at rest, in all its forms. Lower images are merged beside guest I/O; of the running
    /// top, clusters move down in small batches, each holding I/O up for some milliseconds.
    virtual void merge(const MergeRequest& request, const Say& say, const Watch& watch) = 0;
    virtual void remove_snapshot(const Uuid& uuid, const Say& say, const Watch& watch) = 0;
    struct RunningReplace {
        ReplaceRequest request;
        std::optional<std::size_t> level; ///< -l: distance from the base, instead of uuid or file
    };
    /// The content is compared, cluster by cluster, beside guest I/O.
    virtual void replace(const RunningReplace& request, const Say& say, const Watch& watch) = 0;
    /// The disk alone, with its descriptor; whole clusters. device().size() is the new one when it returns.
    virtual void grow(std::uint64_t disk_sectors, const Say& say) = 0;
    struct Compacted {
        std::uint64_t bytes_cut = 0;      ///< of the file's end
        std::uint64_t clusters_moved = 0; ///< what lay there and is used
    };
    /// Tail clusters of the top move into its holes, in batches; the file is cut. When cancelled it returns
    /// what was done.
    virtual Compacted compact(const Watch& watch) = 0;
    virtual std::uint64_t free_clusters() const = 0; ///< holes in the top's file

    // The write tracker, of the top's file. start(): from now on. next(): what was written since start() or the
    // last next(), flushed before it is told, so that the file holds it. While it runs the verbs above are
    // refused (17).
    virtual TrackedRanges track_start() = 0;
    virtual TrackedRanges track_next() = 0;
    virtual void track_stop() = 0;

    /// Nothing is served any more: flush, tail cut, mark off.
    virtual void close() = 0;
};

} // namespace disktool::ploop
