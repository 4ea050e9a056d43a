// SPDX-License-Identifier: LGPL-2.1-or-later
#include "plan/job.h"
#include "plan/job_context.h"
#include "plan/job_record.h"

#include <disktool/error.h>

#include <fmt/format.h>

namespace disktool {
namespace {

std::string description(const JobRecord& record) {
    std::string text = fmt::format("An interrupted {} job of {} was found", record.verb, record.started);
    if (record.step < record.steps.size()) {
        text += fmt::format(" (at step {} of {}: {})", record.step + 1, record.steps.size(),
                            record.steps[record.step].second);
    }
    return text;
}

[[noreturn]] void throw_foreign(const Session& session, const JobRecord& record) {
    throw Error(
        ErrorCode::recovery,
        fmt::format("{} is the record of an interrupted job on another file ({}, inode {}) than the one that "
                    "has the name now. If this image is in order (qemu-img check), remove the record",
                    job_record_path(session.path()),
                    record.files.empty() ? "not named" : record.files.front().path,
                    record.files.empty() ? 0 : record.files.front().inode),
        Reason::job_not_recoverable);
}

void run_without_record(Session& session, Plan& plan, const JobOptions& options) {
    JobOptions quiet = options;
    quiet.progress = nullptr;
    JobContext context(session, plan, quiet);
    for (std::size_t i = 0; i < plan.steps().size(); ++i) {
        context.cancel().check();
        context.run_step(i);
    }
}

/// The steps that mend, without a record of their own: the interrupted job's stays until they are done. A merge
/// may have left something in every image of the chain.
void mend(Session& session, const JobRecord& record, const JobOptions& options) {
    const bool whole_chain = record.files.size() > 1 || !record.merged.empty();
    if (whole_chain) {
        session.reopen_chain(true);
    }
    for (Image* image = &session.image(); image != nullptr; image = image->backing()) {
        Plan plan("recover", session.path());
        image->plan_mend(plan);
        run_without_record(session, plan, options);
        if (!whole_chain) {
            break;
        }
    }
    session.reopen_chain(false); // the next plan must see the mended image
}

/// What the job made goes; what it merged goes when nothing refers to it any more.
void remove_left_behind(Session& session, const JobRecord& record) {
    FileDoor& files = session.doors().files;
    for (const std::string& path : record.made) {
        if (path.ends_with(part_suffix) && files.status(path, false)) {
            files.remove(path);
            files.sync_directory(directory_of(path));
        }
    }
    if (session.image().info().chain.size() != 1) {
        return;
    }
    for (const FileIdentity& merged : record.merged) {
        const std::optional<FileStatus> status = files.status(merged.path, false);
        if (status && status->device == merged.device && status->inode == merged.inode) {
            files.remove(merged.path);
            files.sync_directory(directory_of(merged.path));
        }
    }
}

} // namespace

std::optional<std::string> recover_job(Session& session, const JobOptions& options, bool act) {
    const std::optional<JobRecord> record = read_job_record(session.doors(), session.path());
    if (!record) {
        if (act) {
            remove_unfinished_record(session.doors(), session.path());
        }
        return std::nullopt;
    }
    if (!record_matches(*record, session.file().status())) {
        throw_foreign(session, *record);
    }
    if (!act) {
        return description(*record) + "; the next run that changes the image mends what it left.";
    }
    try {
        mend(session, *record, options);
        remove_left_behind(session, *record);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::interrupted) {
            throw;
        }
        throw Error(ErrorCode::recovery,
                    fmt::format("{}, and mending what it left failed: {}", description(*record), error.what()),
                    Reason::job_not_recoverable);
    }
    remove_job_record(session.doors(), session.path());
    return description(*record) + "; what it left was mended.";
}

} // namespace disktool
