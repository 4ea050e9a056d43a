// SPDX-License-Identifier: LGPL-2.1-or-later
// What the appliance needs of the host, looked for when it did not start.
#pragma once

#include <disktool/file.h>

#include <string>
#include <vector>

namespace disktool {

/// One sentence part for each thing that is not there, with its package in Debian and Ubuntu:
/// "/usr/bin/supermin is missing (package supermin)". `emulator` is the QEMU that libguestfs would start.
std::vector<std::string> missing_parts(FileDoor& files, const std::string& emulator);

} // namespace disktool
