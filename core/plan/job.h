// SPDX-License-Identifier: LGPL-2.1-or-later
// Carrying out a plan: record beside the image, progress, cancellation, undo, report.
#pragma once

#include "image/session.h"

#include <disktool/appliance.h>
#include <disktool/plan.h>
#include <disktool/progress.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace disktool {

/// What the record says of a file that the job may touch, so that recovery never acts on one that is not it.
struct FileIdentity {
    std::string path;
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t size = 0;
    std::string header_hash; ///< FNV-1a 64 of the first 4 KiB at the time of writing, hexadecimal
};

/// IMAGE.disktool-job: JSON, written and synced (file and folder) before the first change, replaced atomically
/// at each step, removed last. Schema in docs/job-record.md.
struct JobRecord {
    int version = 1;
    std::string verb;
    std::string recovery; ///< "mend"
    std::string tool_version;
    int pid = 0;
    std::string started;                                    ///< ISO 8601, UTC
    std::size_t step = 0;                                   ///< index of the running step
    std::vector<std::pair<std::string, std::string>> steps; ///< kind, text
    std::vector<FileIdentity> files;                        ///< the image first, then its successor if any
    std::vector<std::string> made;                          ///< files that the job makes
    std::vector<FileIdentity> merged; ///< files that are to go once the image stands alone
};

/// Ends the name of a file that a job makes and renames when it is complete.
constexpr std::string_view part_suffix = ".disktool-part";

DISKTOOL_API std::string job_record_path(const std::string& image_path);
/// None: there is no record. Throws Error(recovery) for one that cannot be read (the way out in the sentence).
DISKTOOL_API std::optional<JobRecord> read_job_record(Doors doors, const std::string& image_path);
/// Is the image still the file that the record names (device and inode), or that one's successor?
DISKTOOL_API bool record_matches(const JobRecord& record, const FileStatus& image);

struct JobReport {
    std::map<std::string, std::uint64_t> figures; ///< what the steps reported
    std::vector<std::string> warnings;
    std::chrono::milliseconds duration{};
};

struct JobOptions {
    ProgressSink* progress = nullptr;
    CancelToken* cancel = nullptr;
    /// A record is kept beside the image. Not of a block device, which has no such place: what a killed job
    /// leaves of that is its plugin's business.
    bool record = true;
    /// Boots the appliance when a step asks for it.
    std::function<std::unique_ptr<Appliance>()> appliance{};
};

/// Runs the plan on the session's image. On an error or cancellation the steps done so far are undone, last
/// first, the record is removed when all is in order again, and the error is thrown on. An error of the host
/// (EIO) that keeps us from knowing leaves the record for the next run.
DISKTOOL_API JobReport run_job(Session& session, Plan& plan, const JobOptions& options);

/// Before any modifying verb: finds the record of an interrupted job, mends what it left and removes it.
/// Returns a sentence on what was found and done; none when there was no record. Throws Error(recovery) when
/// the record is another file's or cannot be read. A dry run (`act` false) only reports.
DISKTOOL_API std::optional<std::string> recover_job(Session& session, const JobOptions& options, bool act);

} // namespace disktool
