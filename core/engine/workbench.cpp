// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/workbench.h"

#include <disktool/error.h>

namespace disktool {

OwnWorkbench::~OwnWorkbench() = default;

std::unique_ptr<OwnWorkbench> make_workbench(Doors, Image&, const WorkSpec&, CancelToken*,
                                             std::function<std::unique_ptr<Appliance>()>) {
    throw Error(ErrorCode::program_missing, "this build has no workbench yet");
}

} // namespace disktool
