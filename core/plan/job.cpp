// SPDX-License-Identifier: LGPL-2.1-or-later
#include "plan/job.h"

#include "plan/job_context.h"
#include "plan/job_record.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <cerrno>
#include <exception>

namespace disktool {
namespace {

/// One run of one plan with its record.
class Job {
  public:
    Job(Session& session, Plan& plan, const JobOptions& options)
        : session_(session), plan_(plan), context_(session, plan, options),
          record_(make_job_record(session, plan)), keeps_record_(options.record) {}

    void run() {
        write_first_record();
        try {
            run_steps();
        } catch (const std::exception& error) {
            // After a failed write or sync nobody knows what is on the disk, and to undo means to write more.
            const auto* host_error = dynamic_cast<const SystemError*>(&error);
            if (keeps_record_ && host_error != nullptr && host_error->error_number() == EIO) {
                leave_record(host_error->code(), error.what());
            }
            take_back(error.what());
            throw;
        }
        remove_record();
    }

    JobReport& result() { return context_.result(); }

  private:
    void write_first_record() {
        if (!keeps_record_) {
            return;
        }
        // A verb that changes the image has recovered before; one that only reads it (convert to another
        // format) must not write over what another job needs.
        if (session_.doors().files.status(job_record_path(session_.path()), false)) {
            throw Error(
                ErrorCode::recovery,
                fmt::format("{} tells of an interrupted job; mend what that left first: \"prl_disk_tool "
                            "recover --hdd {}\"",
                            job_record_path(session_.path()), session_.path()),
                Reason::job_not_recoverable);
        }
        try {
            write_job_record(session_.doors(), session_.path(), record_);
        } catch (const SystemError& error) {
            throw Error(error.code(),
                        fmt::format("the record of the job, {}, cannot be written, so nothing was changed: {}",
                                    job_record_path(session_.path()), error.what()));
        }
    }

    void run_steps() {
        while (begun_ < plan_.steps().size()) {
            context_.cancel().check();
            if (begun_ > 0 && keeps_record_) {
                record_.step = begun_;
                write_job_record(session_.doors(), session_.path(), record_);
            }
            context_.run_step(begun_++);
        }
    }

    /// Undoes all steps that were begun, the failed one first.
    void take_back(const std::string& cause) {
        try {
            context_.begin_undo();
            while (begun_ > 0) {
                Step& step = *plan_.steps()[--begun_];
                if (step.needs_no_undo().empty()) {
                    step.undo(context_);
                }
            }
            remove_record();
        } catch (const std::exception& error) {
            leave_record(ErrorCode::failure,
                         fmt::format("{}. Taking back what was done failed too: {}", cause, error.what()));
        }
    }

    void remove_record() {
        if (keeps_record_) {
            remove_job_record(session_.doors(), session_.path());
        }
    }

    [[noreturn]] void leave_record(ErrorCode code, const std::string& what) {
        if (!keeps_record_) {
            throw Error(code, what);
        }
        throw Error(code,
                    fmt::format("{}. The record {} stays: the next run that changes the image will mend what "
                                "was left",
                                what, job_record_path(session_.path())));
    }

    Session& session_;
    Plan& plan_;
    JobContext context_;
    JobRecord record_;
    const bool keeps_record_;
    std::size_t begun_ = 0; ///< steps of which commit was called
};

} // namespace

JobReport run_job(Session& session, Plan& plan, const JobOptions& options) {
    if (plan.empty()) {
        return {};
    }
    const auto start = std::chrono::steady_clock::now();
    Job job(session, plan, options);
    try {
        job.run();
    } catch (...) {
        if (options.progress != nullptr) {
            options.progress->finished(false);
        }
        throw;
    }
    if (options.progress != nullptr) {
        options.progress->finished(true);
    }
    job.result().duration =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
    return std::move(job.result());
}

} // namespace disktool
