// SPDX-License-Identifier: LGPL-2.1-or-later
// A new image that is filled while nobody else knows of it.
#pragma once

#include <disktool/doors.h>
#include <disktool/working_disk.h>

#include <memory>
#include <string>

namespace disktool::qcow2 {

/// The image at `path`, which has just been created and stands alone. Owns the file.
std::unique_ptr<WorkingDisk> open_new_image(Doors doors, const std::string& path);

} // namespace disktool::qcow2
