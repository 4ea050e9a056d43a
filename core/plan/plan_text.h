// SPDX-License-Identifier: LGPL-2.1-or-later
// A plan for people and for machines.
#pragma once

#include <disktool/plan.h>

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace disktool {

/// One numbered line a step with engine and cost, then the notes.
DISKTOOL_API std::string plan_text(const Plan& plan);
/// {"verb", "image", "steps": [{"kind", "text", "engine", "cost": {...}, "details": {...}}], "notes": [...],
/// "cost"}
DISKTOOL_API nlohmann::ordered_json plan_json(const Plan& plan);
DISKTOOL_API nlohmann::ordered_json details_json(const Details& details);

} // namespace disktool
