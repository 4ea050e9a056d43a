// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fat_plugin.h"

#include <disktool/plugin.h>

DISKTOOL_FILESYSTEM_PLUGIN(disktool::fat::Plugin, "fs-fat", "1.0", "LGPL-2.1-or-later");
