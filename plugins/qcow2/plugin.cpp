// SPDX-License-Identifier: LGPL-2.1-or-later
#include "plugin.h"

#include <disktool/plugin.h>

DISKTOOL_FORMAT_PLUGIN(disktool::qcow2::Plugin, "qcow2", "1.0", "LGPL-2.1-or-later");
