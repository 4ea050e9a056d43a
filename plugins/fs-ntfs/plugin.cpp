// SPDX-License-Identifier: GPL-2.0-or-later
#include "ntfs_plugin.h"

#include <disktool/plugin.h>

DISKTOOL_FILESYSTEM_PLUGIN(disktool::ntfs::Plugin, "fs-ntfs", "1.0", "GPL-2.0-or-later");
