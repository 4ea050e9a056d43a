// SPDX-License-Identifier: LGPL-2.1-or-later
// Finds and loads the appliance's shared object, the only thing here that links libguestfs.
#pragma once

#include "config/config.h"

#include <disktool/appliance.h>

#include <memory>
#include <string>

namespace disktool {

/// Loads lib/disktool/engines/appliance.so (beside libdisktool; built or installed) by Boost.DLL and makes one.
/// The library stays loaded. Throws program_missing when it or libguestfs is not there, with the package's
/// name.
DISKTOOL_API std::unique_ptr<Appliance> load_appliance(const ApplianceConfig& config);
/// As above, from this file.
DISKTOOL_API std::unique_ptr<Appliance> load_appliance(const ApplianceConfig& config,
                                                       const std::string& library);

/// The symbol that appliance.so exports: Appliance* disktool_make_appliance(const ApplianceConfig*).
using MakeAppliance = Appliance*(const ApplianceConfig*);

} // namespace disktool
