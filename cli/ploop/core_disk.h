// SPDX-License-Identifier: LGPL-2.1-or-later
// A disk as the verbs of the core see it.
#pragma once

#include "config/config.h"
#include "image/session.h"
#include "options.h"
#include "plan/job.h"
#include "verb/verb_context.h"

#include <disktool/format.h>
#include <disktool/plan.h>

#include <memory>
#include <string>

namespace disktool::ploop::cli {

/// Opened, locked, and put right after an interrupted run; with --dry-run for reading only. Refers to
/// `options`.
class CoreDisk {
  public:
    enum class Kind { descriptor, block_device };
    CoreDisk(const Options& options, const std::string& path, Access access, Kind kind = Kind::descriptor);

    Session& session() { return *session_; }
    const ImageInfo& info() { return session_->image().info(); }
    bool raw() const { return raw_; } ///< the image that is written to
    /// Takes the mark off an image in use. Whoever had it is gone: we have its locks, no device has it, and its
    /// BAT was read and is sound.
    void mend();
    VerbContext context();
    /// Runs the plan, or with --dry-run prints it.
    JobReport carry_out(Plan& plan);

  private:
    const Options& options_;
    const Kind kind_;
    Config config_;
    Registry registry_;
    bool raw_ = false;
    std::unique_ptr<Session> session_;
};

/// The same error with the code that scripts know for what went wrong in a resize.
PloopError in_words_of_resize(const Error& error);

} // namespace disktool::ploop::cli
