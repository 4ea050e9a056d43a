// SPDX-License-Identifier: LGPL-2.1-or-later
#include "raw_plugin.h"

#include <disktool/plugin.h>

DISKTOOL_FORMAT_PLUGIN(disktool::raw::Plugin, "raw", "1.0", "LGPL-2.1-or-later");
