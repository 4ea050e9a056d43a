// SPDX-License-Identifier: GPL-2.0-or-later
#include "damage.h"

#include <fmt/format.h>

namespace disktool::ntfs {

Error damage(const BlockDevice& device, std::string_view what) {
    return Error(ErrorCode::damaged,
                 fmt::format("{}: the NTFS file system is damaged: {}; repair it with chkdsk /f in Windows (in "
                             "the guest, or on a copy of the disk)",
                             device.name(), what),
                 Reason::filesystem_damaged);
}

} // namespace disktool::ntfs
