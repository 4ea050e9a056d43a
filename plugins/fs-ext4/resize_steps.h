// SPDX-License-Identifier: LGPL-2.1-or-later
// An ext file system gets another size: e2fsck, then resize2fs, on the Workbench.
#pragma once

#include <disktool/filesystem.h>
#include <disktool/plan.h>

#include <cstdint>
#include <string>

namespace disktool::ext4 {

/// `metadata` and `moved` are estimates for the plan, in bytes: what the check reads, and what lies behind the
/// new end.
void plan_resize(Plan& plan, const FilesystemResize& request, const std::string& type, std::uint64_t metadata,
                 std::uint64_t moved);

} // namespace disktool::ext4
