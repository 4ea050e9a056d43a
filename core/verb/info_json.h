// SPDX-License-Identifier: LGPL-2.1-or-later
// Images, tables and file systems as JSON. The schema is in docs/json.md.
#pragma once

#include "verb/compact.h"
#include "verb/disk_info.h"

#include <disktool/error.h>
#include <disktool/format.h>

#include <nlohmann/json.hpp>

namespace disktool {

using Json = nlohmann::ordered_json;

DISKTOOL_API Json image_json(const ImageInfo& info);
DISKTOOL_API Json survey_json(const DiskSurvey& survey);
DISKTOOL_API Json resize_info_json(const ResizeInfo& info);
DISKTOOL_API Json compact_info_json(const CompactInfo& info);
DISKTOOL_API Json estimate_json(const CompactEstimate& estimate);
DISKTOOL_API Json error_json(const Error& error);

} // namespace disktool
