// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state.h"

#include "log.h"

#include <fmt/format.h>

namespace disktool::xfs {

FilesystemState read_state(BlockDevice& device, const Superblock& super) {
    if (!super.log_is_internal())
        return {
            Reason::several_devices,
            "its log lies on another device, so nobody can tell here whether it was unmounted cleanly; work on "
            "it from within the guest",
            false, false};
    const LogVerdict log = read_log(device, super);
    switch (log.condition) {
    case LogCondition::clean:
        return {Reason::none, "clean", true, false};
    case LogCondition::dirty:
        if (super.features.has_unknown_log_features())
            return {Reason::journal_needs_replay,
                    "it was not unmounted and its log, which has features that disktool does not know, must be "
                    "replayed first; start the guest and shut it down cleanly",
                    false, false};
        return {
            Reason::journal_needs_replay,
            "it was not unmounted and its log must be replayed first; shut the guest down cleanly (start it "
            "first if it is down)",
            false, true};
    case LogCondition::damaged:
        break;
    }
    return {Reason::filesystem_damaged,
            fmt::format(
                "{}; repair it with xfs_repair (from a rescue system in the guest, or on a copy of the disk)",
                log.what),
            false, false};
}

} // namespace disktool::xfs
