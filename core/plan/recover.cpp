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

/// The steps that mend, without a record of their own: the interrupted job's stays until they are done.
void mend(Session& session, const JobOptions& options) {
    Plan plan("recover", session.path());
    session.image().plan_mend(plan);
    JobOptions quiet = options;
    quiet.progress = nullptr;
    JobContext context(session, plan, quiet);
    for (std::size_t i = 0; i < plan.steps().size(); ++i) {
        context.cancel().check();
        context.run_step(i);
    }
}

} // namespace

std::optional<std::string> recover_job(Session& session, const JobOptions& options, bool act) {
    const std::optional<JobRecord> record = read_job_record(session.doors(), session.path());
    if (!record) {
        return std::nullopt;
    }
    if (!record_matches(*record, session.file().status())) {
        throw_foreign(session, *record);
    }
    if (!act) {
        return description(*record) + "; the next run that changes the image mends what it left.";
    }
    try {
        mend(session, options);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::interrupted) {
            throw;
        }
        throw Error(ErrorCode::recovery,
                    fmt::format("{}, and mending what it left failed: {}", description(*record), error.what()),
                    Reason::job_not_recoverable);
    }
    session.reopen(); // the next plan must see the mended image
    remove_job_record(session.doors(), session.path());
    return description(*record) + "; what it left was mended.";
}

} // namespace disktool
