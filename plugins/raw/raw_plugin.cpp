// SPDX-License-Identifier: LGPL-2.1-or-later
#include "raw_plugin.h"

#include "new_disk.h"
#include "raw_image.h"

namespace disktool::raw {

std::unique_ptr<Image> Plugin::open(std::unique_ptr<ImageOpener> opener) {
    return std::make_unique<RawImage>(std::move(opener));
}

std::unique_ptr<WorkingDisk> Plugin::create_disk(Doors doors, const CreateRequest& request) {
    return std::make_unique<NewDisk>(doors, request.path, request.virtual_size);
}

} // namespace disktool::raw
