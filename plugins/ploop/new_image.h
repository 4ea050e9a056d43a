// SPDX-License-Identifier: LGPL-2.1-or-later
// A new image file that is filled: the target of a conversion.
#pragma once

#include <disktool/doors.h>
#include <disktool/working_disk.h>

#include <memory>
#include <string>

namespace disktool::ploop {

/// `path`: just made by Delta::create, and nobody else's yet. In use until its commit.
std::unique_ptr<WorkingDisk> open_new_image(Doors doors, const std::string& path);

} // namespace disktool::ploop
