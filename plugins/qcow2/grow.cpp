// SPDX-License-Identifier: LGPL-2.1-or-later
#include "grow.h"

#include "grow_by_qemu.h"
#include "grow_step.h"

#include <memory>

namespace disktool::qcow2 {

void plan_grow(Image& image, Plan& plan, const ResizeRequest& request) {
    image.metadata().forget(); // a job that failed may have left it stale
    const Header& header = image.metadata().header();
    if (header.virtual_size == request.new_size && request.patches.empty()) {
        return;
    }
    if (header.bitmaps) {
        plan_grow_by_qemu(image, plan, request);
    } else {
        plan.add(std::make_unique<GrowStep>(image, request));
    }
}

} // namespace disktool::qcow2
