// SPDX-License-Identifier: LGPL-2.1-or-later
// Which acceleration the appliance is booted with.
#pragma once

#include "engine/appliance/machine.h"

#include <memory>

namespace disktool {

struct Booted {
    std::unique_ptr<Machine> machine;
    bool emulated = false; ///< in software
};

/// With KVM where the host has it. Where it has not, or has it and it does not work, in software emulation;
/// that is logged once, and KVM is not tried again in this run of the program. A LIBGUESTFS_BACKEND_SETTINGS in
/// the environment, then `config`, come first. Throws as Machine does.
Booted boot_machine(const ApplianceConfig& config, const Appliance::Disk& disk, const CancelToken* cancel);

} // namespace disktool
