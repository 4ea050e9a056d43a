// SPDX-License-Identifier: LGPL-2.1-or-later
// Looking at a disk for people: what can be seen is shown, whatever is wrong with the rest.
#pragma once

#include "command.h"

#include <disktool/error.h>

#include <optional>
#include <string>
#include <vector>

namespace disktool::cli {

struct DiskLook {
    DiskSurvey survey;
    /// Why there is none: a table that is damaged or not supported, an encrypted image.
    std::optional<Problem> problem;
};

/// In-process, whatever --engine says. Throws where the image itself cannot be read.
DiskLook look_at_disk(Session& session, SurveyOptions options);

/// Run::recover(false), but a record that cannot be understood is only told of. True where a job was found.
bool look_for_job(Run& run);

/// Each sentence on what is wrong with the disk: of the image, the table and every content.
std::vector<std::string> troubles(const ImageInfo& image, const DiskLook& look);
/// Ends a page with them; with --json they are its warnings.
void say_troubles(Run& run, const std::vector<std::string>& sentences);

} // namespace disktool::cli
