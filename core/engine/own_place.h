// SPDX-License-Identifier: LGPL-2.1-or-later
// Where we are installed, found from libdisktool itself, so that the tree can lie anywhere.
#pragma once

#include <disktool/api.h>

#include <string>
#include <string_view>

namespace disktool {

/// The folder that holds bin/ and lib/ (build tree or installation), absolute.
DISKTOOL_API std::string own_prefix();
DISKTOOL_API std::string_view version();

} // namespace disktool
