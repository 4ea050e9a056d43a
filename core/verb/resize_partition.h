// SPDX-License-Identifier: LGPL-2.1-or-later
// resize --resize_partition: a partition and what is in it follow the disk.
#pragma once

#include "verb/resize.h"
#include "verb/survey.h"

#include <disktool/format.h>

#include <optional>
#include <string>

namespace disktool {

/// Adds the steps to the plan. None: done. Otherwise why the content of the partition does not follow: then the
/// disk alone is resized, if that cuts nothing. Throws as plan_resize.
std::optional<Refusal> plan_resize_with_partition(VerbContext& context, DiskSurvey& survey,
                                                  const ResizeOptions& options, Plan& plan);

/// size_impossible, in the original's words with the minimum. `because` says what needs the room.
[[noreturn]] void refuse_below_minimum(const std::string& image, std::uint64_t requested, std::uint64_t minimum,
                                       Reason reason, const std::string& because);

} // namespace disktool
