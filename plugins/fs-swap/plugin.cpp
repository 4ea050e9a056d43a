// SPDX-License-Identifier: LGPL-2.1-or-later
#include "swap_plugin.h"

#include <disktool/plugin.h>

DISKTOOL_FILESYSTEM_PLUGIN(disktool::swap::Plugin, "fs-swap", "1.0", "LGPL-2.1-or-later");
