// SPDX-License-Identifier: LGPL-2.1-or-later
#include "damage.h"

#include <fmt/format.h>

namespace disktool::xfs {

Error damage(const BlockDevice& device, std::string_view what) {
    return Error(ErrorCode::damaged,
                 fmt::format("{}: the XFS file system is damaged: {}; repair it with xfs_repair (from a rescue "
                             "system in the guest, or on a copy of the disk)",
                             device.name(), what),
                 Reason::filesystem_damaged);
}

Error unsupported(const BlockDevice& device, std::string_view what) {
    return Error(ErrorCode::unsupported, fmt::format("{}: {}", device.name(), what),
                 Reason::feature_not_supported);
}

} // namespace disktool::xfs
