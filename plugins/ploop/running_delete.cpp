// SPDX-License-Identifier: LGPL-2.1-or-later
// A snapshot of a disk in use goes: as at rest, but what is merged with the running top is drained.
#include "served_disk.h"
#include "snapshot_delete.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <utility>

namespace disktool::ploop {

void ServedDisk::remove_snapshot(const Uuid& uuid, const Say& say, const Watch& watch) {
    const auto disk = open_for("snapshot-delete", say);
    if (disk->descriptor.snapshot(uuid) == nullptr) {
        refuse_unknown(*disk, uuid);
    }
    require_plain(*disk);
    if (uuid == disk->descriptor.top) {
        refuse(fmt::format("{} is what the mounted disk writes to, and cannot be deleted. Unmount it first",
                           uuid.text()),
               Reason::image_in_use);
    }
    Report report{say, watch};
    if (!remove_one(*disk, uuid, report)) {
        Descriptor marked = marked_for_deletion(*disk, uuid);
        if (watch.plan_only) {
            return;
        }
        DiskChange change(*disk, "snapshot-delete", std::move(marked));
        change.switch_over();
        say(deletion_mark_text(change.after, uuid));
        return;
    }
    if (watch.plan_only) {
        return;
    }
    for (std::size_t round = disk->descriptor.snapshots.size(); round > 0; --round) {
        const std::optional<Uuid> next = removable_temporary(disk->descriptor);
        if (!next) {
            break;
        }
        try {
            remove_one(*disk, *next, report);
        } catch (const Error& error) {
            if (error.code() != ErrorCode::locked) {
                throw;
            }
            break; // somebody reads it: it goes when the disk is mounted the next time
        }
    }
}

/// False: several snapshots are on it.
bool ServedDisk::remove_one(PloopDisk& disk, const Uuid& uuid, Report& report) {
    const std::vector<Uuid> children = disk.descriptor.children(uuid);
    if (children.size() > 1) {
        return false;
    }
    if (children.size() == 1) {
        merge_segment(disk, "snapshot-delete", {uuid, children.front()}, "", report);
        return true;
    }
    Descriptor after = disk.descriptor;
    after.remove_leaf(uuid);
    if (report.watch.plan_only) {
        return true;
    }
    DiskChange change(disk, "snapshot-delete", std::move(after));
    change.will_remove(disk.file_of(uuid));
    report.say(fmt::format("del snapshot {}", uuid.text()));
    try {
        change.begin();
        change.switch_over();
    } catch (...) {
        change.roll_back();
        throw;
    }
    change.finish();
    report.say(fmt::format("ploop snapshot {} has been successfully deleted", uuid.text()));
    return true;
}

} // namespace disktool::ploop
