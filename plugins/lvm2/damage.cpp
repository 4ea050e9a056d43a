// SPDX-License-Identifier: LGPL-2.1-or-later
#include "damage.h"

#include <fmt/format.h>

namespace disktool::lvm2 {

Error damage(const BlockDevice& device, std::string_view what) {
    return Error(
        ErrorCode::damaged,
        fmt::format("{}: the LVM2 physical volume is damaged: {}; look at it with pvck, and restore its "
                    "metadata with vgcfgrestore (in the guest, or on a copy of the disk)",
                    device.name(), what),
        Reason::filesystem_damaged);
}

Error unsupported(const BlockDevice& device, std::string_view what, Reason reason) {
    return Error(ErrorCode::unsupported, fmt::format("{}: {}", device.name(), what), reason);
}

} // namespace disktool::lvm2
