// SPDX-License-Identifier: LGPL-2.1-or-later
#include "temporary_snapshots.h"

#include "left_over.h"
#include "snapshot_delete.h"

#include <disktool/error.h>

#include <fmt/format.h>

namespace disktool::ploop {

bool remove_temporary_snapshots(PloopDisk& disk) {
    bool changed = false;
    for (std::size_t round = disk.descriptor.snapshots.size(); round > 0; --round) {
        const std::optional<Uuid> next = removable_temporary(disk.descriptor);
        if (!next) {
            break;
        }
        try {
            Plan plan = plan_snapshot_delete(disk, *next);
            disk.say(fmt::format("Deleting the temporary snapshot {}", next->text()));
            run_plan(plan, disk.doors(), disk.options().cancel, [](std::uint64_t, std::uint64_t) {});
            changed = true;
        } catch (const Error& error) {
            if (disk.doors().files.status(job_path(disk.path()), false)) {
                throw;
            }
            disk.say(fmt::format("The temporary snapshot {} stays for now: {}", next->text(), error.what()));
            break;
        }
    }
    return changed;
}

} // namespace disktool::ploop
