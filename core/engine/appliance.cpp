// SPDX-License-Identifier: LGPL-2.1-or-later
#include <disktool/appliance.h>

namespace disktool {

Appliance::~Appliance() = default;

} // namespace disktool
