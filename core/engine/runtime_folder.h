// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <disktool/api.h>

#include <optional>
#include <string>

namespace disktool {

/// The folder of what this program keeps until the next reboot: /run/disktool, or for others than root
/// $XDG_RUNTIME_DIR/disktool. Made, with mode 0700, where it is not there. None: there is no place for it, or
/// it is not ours alone, and then anyone might put something into it.
DISKTOOL_API std::optional<std::string> runtime_folder();

} // namespace disktool
