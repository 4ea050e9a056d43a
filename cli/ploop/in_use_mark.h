// SPDX-License-Identifier: LGPL-2.1-or-later
// Was an image closed in order?
#pragma once

#include <optional>
#include <string>

namespace disktool::ploop::cli {

/// Has the image the mark of one that is in use, or was not closed? None: it has no place for it, as a raw
/// image, or cannot be read.
std::optional<bool> bears_mark(const std::string& image);

/// Who takes the mark off: a sentence. `descriptor` may be empty: then the image is all that is known, and a
/// mount by image files refuses one that bears the mark.
std::string way_to_repair(const std::string& descriptor, const std::string& image);

} // namespace disktool::ploop::cli
