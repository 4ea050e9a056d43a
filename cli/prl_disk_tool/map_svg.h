// SPDX-License-Identifier: LGPL-2.1-or-later
// The map of a disk as a picture: SVG, self-contained, without scripts.
#pragma once

#include "verb/disk_map.h"

#include <disktool/file.h>

#include <string>

namespace disktool::cli {

/// A bar for the disk, one for each partition, the legend. What lies where is also said as text (`<title>`).
/// `title`: of the picture, any text.
std::string map_svg(const DiskMap& map, const std::string& title);

/// Old or new at any moment. Throws usage for a file that is there and is neither empty nor a picture of this
/// kind: a slip of the fingers must not cost a disk image.
void write_svg(FileDoor& files, const std::string& path, const std::string& svg);

} // namespace disktool::cli
