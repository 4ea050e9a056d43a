// SPDX-License-Identifier: LGPL-2.1-or-later
#include "block/write_behind.h"

#include <disktool/size.h>

#include <fcntl.h>

namespace disktool {

namespace {
constexpr std::uint64_t enough = 32 * MiB;
} // namespace

void WriteBehind::wrote(std::uint64_t bytes) {
    waiting_ += bytes;
    if (waiting_ < enough || file_.descriptor() < 0) {
        return;
    }
    waiting_ = 0;
    // An error of the disk is told by the next sync.
    (void)sync_file_range(file_.descriptor(), 0, 0, SYNC_FILE_RANGE_WRITE);
}

} // namespace disktool
