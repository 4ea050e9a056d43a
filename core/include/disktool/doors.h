// SPDX-License-Identifier: LGPL-2.1-or-later
// Both doors to the outside, handed to whoever needs the host.
#pragma once

#include <disktool/api.h>
#include <disktool/file.h>
#include <disktool/subprocess.h>

namespace disktool {

/// References; whoever makes it owns what they refer to and lets it outlive every user.
struct Doors {
    FileDoor& files;
    ProcessDoor& processes;
};

/// The real host. Lives as long as the program.
DISKTOOL_API Doors real_doors();

} // namespace disktool
