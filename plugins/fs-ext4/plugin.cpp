// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ext4_plugin.h"

#include <disktool/plugin.h>

DISKTOOL_FILESYSTEM_PLUGIN(disktool::ext4::Plugin, "fs-ext4", "1.0", "LGPL-2.1-or-later");
