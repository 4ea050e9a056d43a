// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lvm2_plugin.h"

#include "label.h"
#include "lvm2_volumes.h"

namespace disktool::lvm2 {

int Plugin::probe(BlockDevice& device) {
    switch (find_label(device)) {
    case LabelFound::whole:
        return 100;
    case LabelFound::broken:
        return 60;
    case LabelFound::no:
        break;
    }
    return 0;
}

std::unique_ptr<Volumes> Plugin::open(BlockDevice& device) {
    return std::make_unique<Lvm2Volumes>(device);
}

} // namespace disktool::lvm2
