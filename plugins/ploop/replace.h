// SPDX-License-Identifier: LGPL-2.1-or-later
// What a replacement must be, at rest or in use.
#pragma once

#include "operations.h"

#include <string>

namespace disktool::ploop {

/// Which image a request names. Refuses (exit 38; 43 for an unknown uuid).
Uuid uuid_to_replace(const PloopDisk& disk, const ReplaceRequest& request);
/// The absolute path of the file that is to take its place: there, and no image of the disk yet (exit 38).
std::string replacement_of(const PloopDisk& disk, const ReplaceRequest& request);
/// The descriptor with it.
Descriptor with_replacement(const PloopDisk& disk, const Uuid& uuid, const std::string& new_file);
/// The new file on stable storage: it may have been copied a moment ago.
void sync_replacement(FileDoor& files, const std::string& new_file);
/// Renames it over the old one, at one instant.
void take_old_name(FileDoor& files, const std::string& new_file, const std::string& old_file);

} // namespace disktool::ploop
