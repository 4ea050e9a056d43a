// SPDX-License-Identifier: LGPL-2.1-or-later
// Giving a finished file its name, and a disk a file of another kind, so that a descriptor never names what is
// not there.
#pragma once

#include "descriptor.h"

#include <disktool/file.h>

#include <string>

namespace disktool::ploop {

class PloopDisk;

/// Of a file in the making that will bear `path`.
std::string part_name(const std::string& path);

/// `part` gets the name `path`, which must be free (a hard link, since a rename would overwrite what has come
/// there meanwhile). Folder synced.
void take_name(FileDoor& files, const std::string& part, const std::string& path);

/// The disk's only image is replaced by the finished, synced file part_name(image): `changed` (what the
/// descriptor says besides) holds from one instant on, and the file bears the old one's name in the end. In
/// between the descriptor names the part, so it is right at every moment; a killed run is finished by
/// finish_replacing.
void replace_image(PloopDisk& disk, Descriptor changed);
/// Does the descriptor name a part?
bool replacing_unfinished(const Descriptor& descriptor);
/// When the disk was opened for writing: true where something was left to do.
bool finish_replacing(PloopDisk& disk);

} // namespace disktool::ploop
