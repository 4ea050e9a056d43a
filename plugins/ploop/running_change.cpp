// SPDX-License-Identifier: LGPL-2.1-or-later
#include "running_change.h"

#include <disktool/error.h>
#include <disktool/log.h>

#include <fmt/format.h>

namespace disktool::ploop {

void take_back(DiskChange& change, const Say& say) noexcept {
    try {
        try {
            change.roll_back();
        } catch (const Error& error) {
            say(fmt::format("Taking it back failed, the next mount brings the disk in order: {}",
                            error.what()));
        }
    } catch (const std::exception& error) {
        log(LogLevel::warning, error.what());
    }
}

} // namespace disktool::ploop
