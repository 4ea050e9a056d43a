// SPDX-License-Identifier: LGPL-2.1-or-later
// Visibility of what plugins and programs use from libdisktool.
#pragma once

#define DISKTOOL_API __attribute__((visibility("default")))
