// SPDX-License-Identifier: LGPL-2.1-or-later
// The private folder that a view is mounted in.
#pragma once

#include "block/host_descriptor.h"

#include <disktool/subprocess.h>

#include <string>

namespace disktool {

/// A folder of mode 0700 with a folder "m" in it, the mount point. It lies in /run/disktool (root),
/// $XDG_RUNTIME_DIR/disktool, or $TMPDIR. While we live we hold a flock on it, which the kernel gives up when
/// we die, however that happens: so others know which folders are left over.
class ViewFolder {
  public:
    /// Also takes away what dead processes have left there. Throws SystemError.
    explicit ViewFolder(ProcessDoor& processes);
    ViewFolder(const ViewFolder&) = delete;
    ViewFolder& operator=(const ViewFolder&) = delete;
    /// Removes the folders, which fails harmlessly where something is still mounted.
    ~ViewFolder();

    std::string mount_point() const { return path_ + "/m"; }

  private:
    std::string path_;
    Descriptor lock_;
};

/// Unmounts and removes what views of dead processes have left. Never throws, never waits for a dead server.
DISKTOOL_API void remove_stale_views(ProcessDoor& processes) noexcept;

/// Unmounts: umount2 as root, otherwise fusermount3. `lazily`: also when it is in use. Returns 0 or an errno
/// value.
int unmount_view(ProcessDoor& processes, const std::string& mount_point, bool lazily);

} // namespace disktool
