// SPDX-License-Identifier: LGPL-2.1-or-later
// Which parts of the top's file were written, for a copy of a disk that is in use.
#include "served_disk.h"

#include <fmt/format.h>

namespace disktool::ploop {

TrackedRanges ServedDisk::tracked(std::vector<Range> ranges) const {
    return {std::move(ranges), top().file().status().size};
}

TrackedRanges ServedDisk::track_start() {
    require_writable("copy");
    require_untracked();
    // What is in memory yet is written now, and so read by whoever begins to read the file.
    device_->flush();
    tracker().start();
    return tracked({});
}

TrackedRanges ServedDisk::track_next() {
    if (!tracker().tracking()) {
        refuse(fmt::format("Writes to {} are not tracked", device_->name()));
    }
    // The flush writes the BAT, which then is among what is told.
    device_->flush();
    return tracked(tracker().take());
}

void ServedDisk::track_stop() {
    tracker().stop();
}

} // namespace disktool::ploop
