// SPDX-License-Identifier: LGPL-2.1-or-later
// Which disk an image file belongs to.
#pragma once

#include "descriptor.h"

#include <disktool/file.h>

#include <optional>
#include <string>

namespace disktool::ploop {

struct Membership {
    std::string descriptor_path;
    Descriptor descriptor;
    Uuid uuid; ///< of the file

    bool is_top() const { return uuid == descriptor.top; }
    /// The entry below; null for a base.
    const ImageEntry* parent() const;
};

/// Looks at the descriptors (*.xml) beside the file. None where none names it. Throws Error(damaged) for a
/// DiskDescriptor.xml that cannot be read, since that may be the one; other .xml files that are no descriptors
/// are passed over.
std::optional<Membership> membership_of(FileDoor& files, const std::string& image_path);

/// The descriptor that a user may name instead of the image file: a file whose name ends in ".xml", or a folder
/// with a DiskDescriptor.xml. None for anything else.
std::optional<std::string> descriptor_at(FileDoor& files, const std::string& path);
/// Its top image.
std::string top_of(FileDoor& files, const std::string& descriptor_path);

} // namespace disktool::ploop
