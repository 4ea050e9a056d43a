// SPDX-License-Identifier: LGPL-2.1-or-later
#include "btrfs_plugin.h"

#include <disktool/plugin.h>

DISKTOOL_FILESYSTEM_PLUGIN(disktool::btrfs::Plugin, "fs-btrfs", "1.0", "LGPL-2.1-or-later");
