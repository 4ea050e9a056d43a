// SPDX-License-Identifier: LGPL-2.1-or-later
#include "xfs_plugin.h"

#include <disktool/plugin.h>

DISKTOOL_FILESYSTEM_PLUGIN(disktool::xfs::Plugin, "fs-xfs", "1.0", "LGPL-2.1-or-later");
