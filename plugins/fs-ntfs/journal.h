// SPDX-License-Identifier: GPL-2.0-or-later
// $LogFile: has Windows closed it?
#pragma once

#include "volume.h"

namespace disktool::ntfs {

enum class JournalState {
    empty,   ///< all ones, as mkntfs, ntfs-3g and ntfsresize leave it
    clean,   ///< closed by Windows
    open,    ///< has changes that are to be replayed, or was not closed
    cached,  ///< version 2.0: Windows keeps metadata elsewhere (fast startup, hibernation), or was cut off
    unknown, ///< neither empty nor with a restart page that makes sense
};

/// Looks at the restart pages; the newer one counts. Reads at most 30 pieces of up to 64 KiB.
JournalState read_journal(const Volume& volume);

} // namespace disktool::ntfs
