// SPDX-License-Identifier: LGPL-2.1-or-later
// What every planner gets besides its own arguments.
#pragma once

#include "config/config.h"
#include "image/session.h"

#include <disktool/appliance.h>
#include <disktool/progress.h>

#include <functional>
#include <memory>

namespace disktool {

/// Refers to what the caller owns; made once a command.
struct VerbContext {
    Session& session;
    Engine engine = Engine::automatic;
    CancelToken* cancel = nullptr;
    /// Makes an appliance, not yet booted. Throws program_missing where there can be none.
    std::function<std::unique_ptr<Appliance>()> make_appliance;
};

} // namespace disktool
