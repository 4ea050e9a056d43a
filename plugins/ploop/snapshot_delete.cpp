// SPDX-License-Identifier: LGPL-2.1-or-later
// A snapshot goes: a leaf with its file, one with a single child by a merge of the two, one with several when
// it has a single one left (until then it is marked as temporary).
#include "snapshot_delete.h"

#include "snapshot_merge.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace disktool::ploop {

namespace {

Descriptor add_leaf(Plan& plan, PloopDisk& disk, const Descriptor& before, const Uuid& uuid) {
    const std::string path =
        resolve(disk.doors().files, disk.path(), *before.image(uuid), disk.options().allowed);
    Descriptor after = before;
    after.remove_leaf(uuid);
    if (uuid == before.top) {
        // The disk is as large again as it was when its parent was made.
        const Header header = disk.open_delta(before.snapshot(uuid)->parent, Access::read)->header();
        const std::uint64_t sectors = round_up(header.disk_sectors, header.cluster_sectors);
        if (sectors != after.disk_sectors) {
            after.set_size(sectors);
        }
    }
    const auto change = std::make_shared<DiskChange>(disk, "snapshot-delete", after);
    change->will_remove(path);
    plan.add(say_step(disk, fmt::format("del snapshot {}", uuid.text()),
                      fmt::format("Delete snapshot {}, which has no other on it", uuid.text())));
    if (uuid == before.top) {
        if (auto forget = forget_usage_step(disk)) {
            plan.add(std::move(forget));
        }
    }
    add_switch(plan, change, fmt::format("Store the descriptor without {}", uuid.text()),
               fmt::format("ploop snapshot {} has been successfully deleted", uuid.text()));
    return after;
}

/// By opening the disk.
bool was_finished(const PloopDisk& disk, const Uuid& uuid) {
    return disk.finished_merge && disk.finished_merge->segment.front() == uuid;
}

/// None: it has several children.
std::optional<Descriptor> add_removal(Plan& plan, PloopDisk& disk, const Descriptor& before, const Uuid& uuid) {
    const std::vector<Uuid> children = before.children(uuid);
    if (children.empty()) {
        return add_leaf(plan, disk, before, uuid);
    }
    if (children.size() == 1) {
        return add_merge(plan, disk, "snapshot-delete", before, {uuid, children.front()}, "");
    }
    return std::nullopt;
}

} // namespace

std::optional<Uuid> removable_temporary(const Descriptor& descriptor) {
    for (const SnapshotEntry& entry : descriptor.snapshots) {
        if (entry.temporary && !(entry.uuid == descriptor.top) && descriptor.children(entry.uuid).size() <= 1) {
            return entry.uuid;
        }
    }
    return std::nullopt;
}

Descriptor marked_for_deletion(const PloopDisk& disk, const Uuid& uuid) {
    if (disk.descriptor.snapshot(uuid)->temporary) {
        throw PloopError(
            Exit::no_memory_or_failure, ErrorCode::unsupported,
            fmt::format("Snapshot {} has {} snapshots on it and is marked for deletion already: it goes "
                        "as soon as a snapshot-delete leaves it with a single one",
                        uuid.text(), disk.descriptor.children(uuid).size()));
    }
    Descriptor after = disk.descriptor;
    after.set_temporary(uuid, true);
    return after;
}

std::string deletion_mark_text(const Descriptor& after, const Uuid& uuid) {
    return fmt::format(
        "There are {} snapshots on {}: it is marked as temporary and goes when a single one is left",
        after.children(uuid).size(), uuid.text());
}

Plan plan_snapshot_delete(PloopDisk& disk, const Uuid& uuid) {
    const bool gone = was_finished(disk, uuid);
    if (!gone && disk.descriptor.snapshot(uuid) == nullptr) {
        refuse_unknown(disk, uuid);
    }
    require_plain(disk);
    Plan plan("snapshot-delete", disk.path());
    std::optional<Descriptor> after = disk.descriptor;
    if (gone) {
        plan.add(say_step(disk, fmt::format("ploop snapshot {} has been successfully deleted", uuid.text()),
                          fmt::format("The deletion of {} was finished just now", uuid.text())));
    } else {
        after = add_removal(plan, disk, disk.descriptor, uuid);
    }
    if (!after) {
        const auto change =
            std::make_shared<DiskChange>(disk, "snapshot-delete", marked_for_deletion(disk, uuid));
        add_switch(plan, change,
                   fmt::format("Store the descriptor: mark {} as temporary, since {} snapshots are on it",
                               uuid.text(), disk.descriptor.children(uuid).size()),
                   deletion_mark_text(change->after, uuid));
        return plan;
    }
    // One round for each is enough: none is marked here.
    for (std::size_t round = disk.descriptor.snapshots.size(); round > 0; --round) {
        const std::optional<Uuid> next = removable_temporary(*after);
        if (!next) {
            break;
        }
        after = add_removal(plan, disk, *after, *next);
    }
    return plan;
}

} // namespace disktool::ploop
