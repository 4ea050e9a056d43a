// SPDX-License-Identifier: LGPL-2.1-or-later
#include "damage.h"

#include <fmt/format.h>

namespace disktool::ext4 {

Error damage(const BlockDevice& device, std::string_view what) {
    return Error(ErrorCode::damaged,
                 fmt::format("{}: the ext file system is damaged: {}; repair it with e2fsck -f (from a rescue "
                             "system in the guest, or on a copy of the disk)",
                             device.name(), what),
                 Reason::filesystem_damaged);
}

} // namespace disktool::ext4
