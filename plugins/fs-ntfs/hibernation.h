// SPDX-License-Identifier: GPL-2.0-or-later
// Does a Windows sleep on this volume? hiberfil.sys in the root folder says so.
#pragma once

#include "volume.h"

#include <string_view>
#include <vector>

namespace disktool::ntfs {

/// Numbers of the files of that name (ASCII, compared without case) in the root folder. All index blocks are
/// gone through, so that this needs no collation table.
std::vector<FileReference> find_in_root(const Volume& volume, std::string_view name);

/// A hiberfil.sys that holds a system, of a full hibernation or of a shutdown with fast startup: it starts with
/// "hibr" (or "rstr" while it is being resumed, "link" where the image lies elsewhere), or is too short to be
/// read, as on the other volumes of a sleeping system. All zeros, or "wake" (it was resumed and lives), is
/// none.
bool hibernated(const Volume& volume);

} // namespace disktool::ntfs
