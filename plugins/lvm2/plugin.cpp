// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lvm2_plugin.h"

#include <disktool/plugin.h>

DISKTOOL_VOLUMES_PLUGIN(disktool::lvm2::Plugin, "lvm2", "1.0", "LGPL-2.1-or-later");
