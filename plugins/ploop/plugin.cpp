// SPDX-License-Identifier: LGPL-2.1-or-later
#include "plugin.h"

#include <disktool/plugin.h>

DISKTOOL_FORMAT_PLUGIN(disktool::ploop::Plugin, "ploop", "1.0", "LGPL-2.1-or-later");
