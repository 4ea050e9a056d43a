// SPDX-License-Identifier: LGPL-2.1-or-later
// The job record on disk: IMAGE.disktool-job (docs/job-record.md).
#pragma once

#include "plan/job.h"

#include <string>

namespace disktool {

/// The record of a job that is about to run its first step.
JobRecord make_job_record(Session& session, const Plan& plan);
/// Old or new at any moment, and synced with its folder when it returns.
void write_job_record(Doors doors, const std::string& image_path, const JobRecord& record);
/// Removes what a run has left that was killed before its record was complete, and so before any change.
void remove_unfinished_record(Doors doors, const std::string& image_path);
/// Removes it, and what a killed run may have left of writing one; synced when it returns.
void remove_job_record(Doors doors, const std::string& image_path);

} // namespace disktool
