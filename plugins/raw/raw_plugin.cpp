// SPDX-License-Identifier: LGPL-2.1-or-later
#include "raw_plugin.h"

#include "raw_image.h"

namespace disktool::raw {

std::unique_ptr<Image> Plugin::open(std::unique_ptr<ImageOpener> opener) {
    return std::make_unique<RawImage>(std::move(opener));
}

} // namespace disktool::raw
