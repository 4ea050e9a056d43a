// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crypt_plugin.h"

#include <disktool/plugin.h>

DISKTOOL_FILESYSTEM_PLUGIN(disktool::crypt::Plugin, "fs-crypt", "1.0", "LGPL-2.1-or-later");
