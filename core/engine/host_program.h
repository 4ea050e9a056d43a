// SPDX-License-Identifier: LGPL-2.1-or-later
// Programs of the host, looked for and asked for their version when they are first needed.
#pragma once

#include <disktool/api.h>
#include <disktool/doors.h>

#include <optional>
#include <string>
#include <string_view>

namespace disktool {

struct HostProgram {
    std::string path;    ///< absolute
    std::string version; ///< "1.47.0"; empty where nobody asked for it yet
};

/// Looked for in PATH, then in the folders of system programs, which users often lack in their PATH. The
/// version is asked for only where `least_version` is not empty. Throws program_missing, naming the program,
/// the version that was found and the one that is needed, the Debian package, and `purpose` ("to shrink ext4").
/// What was found is remembered for the run. Threads: any.
DISKTOOL_API HostProgram require_program(Doors doors, const std::string& name, const std::string& least_version,
                                         const std::string& package, const std::string& purpose);
/// Looks again at the next call: after PATH has changed.
DISKTOOL_API void forget_programs();

/// The first thing in `text` that looks like a version: numbers with dots ("v6.2" → "6.2").
DISKTOOL_API std::optional<std::string> version_in(std::string_view text);
/// Number by number; what is not there counts as 0: "1.9" < "1.10", "4.2" = "4.2.0".
DISKTOOL_API bool older(std::string_view version, std::string_view than);

} // namespace disktool
