// SPDX-License-Identifier: LGPL-2.1-or-later
// Names of image files: as a descriptor stores them, and as paths.
#pragma once

#include <string>

namespace disktool::ploop {

/// Relative names are of `folder` (an absolute path; empty: they stay as they are).
std::string joined_path(const std::string& folder, const std::string& name);
/// The reverse, as the original stores names: relative where the file lies in or below `folder`, else as given.
std::string stored_name(const std::string& folder, const std::string& name);

} // namespace disktool::ploop
