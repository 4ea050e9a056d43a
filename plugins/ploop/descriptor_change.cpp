// SPDX-License-Identifier: LGPL-2.1-or-later
// What the verbs do to the entries of a descriptor. The order of the elements is the original's.
#include "descriptor.h"
#include "descriptor_document.h"
#include "image_path.h"
#include "ploop_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace disktool::ploop {
namespace {

[[noreturn]] void refuse(const std::string& why) {
    throw PloopError(Exit::invalid_parameter, ErrorCode::usage, why);
}

void check_depth(std::size_t images_below) {
    if (images_below >= most_in_chain) {
        refuse(
            fmt::format("The disk has reached the maximum number of snapshots ({}) in one chain. Merge some of "
                        "them first: ploop snapshot-merge",
                        most_in_chain - 1));
    }
}

} // namespace

void Descriptor::set_size(std::uint64_t new_sectors) {
    disk_sectors = new_sectors;
    if (cylinders != 0 && heads != 0) {
        sectors = disk_sectors / cylinders / heads;
    }
}

void Descriptor::modernise() {
    const Uuid old_top = std::exchange(top, Uuid::top());
    old_format = false;
    if (old_top == top) {
        return;
    }
    // Something that is not the top may have the fixed uuid; it needs another then.
    const Uuid moved = snapshot(top) != nullptr ? Uuid::random() : top;
    const auto renamed = [&](const Uuid& uuid) { return uuid == old_top ? top : uuid == top ? moved : uuid; };
    for (ImageEntry& entry : images) {
        entry.uuid = renamed(entry.uuid);
    }
    for (SnapshotEntry& entry : snapshots) {
        entry.uuid = renamed(entry.uuid);
        entry.parent = renamed(entry.parent);
    }
}

void Descriptor::refuse_old_format() const {
    if (old_format) {
        refuse(
            fmt::format("The descriptor is of an old format: its TopGUID is {}, not {}. A verb that stores it "
                        "converts it: ploop grow, ploop convert",
                        top.text(), Uuid::top().text()));
    }
}

void Descriptor::refuse_taken(const Uuid& uuid) const {
    if (uuid.is_none() || uuid == Uuid::top()) {
        refuse(fmt::format("The uuid {} is reserved; choose another for the snapshot", uuid.text()));
    }
    if (snapshot(uuid) != nullptr || image(uuid) != nullptr) {
        refuse(fmt::format("The snapshot {} already exists; choose another uuid", uuid.text()));
    }
}

ImageEntry& Descriptor::image_entry(const Uuid& uuid) {
    const ImageEntry* found = image(uuid);
    if (found == nullptr) {
        refuse(fmt::format("There is no image {}", uuid.text()));
    }
    return const_cast<ImageEntry&>(*found);
}

SnapshotEntry& Descriptor::snapshot_entry(const Uuid& uuid) {
    const SnapshotEntry* found = snapshot(uuid);
    if (found == nullptr) {
        refuse(fmt::format("There is no snapshot {}; ploop snapshot-list shows those that are there",
                           uuid.text()));
    }
    return const_cast<SnapshotEntry&>(*found);
}

void Descriptor::set_file(ImageEntry& entry, const std::string& file) const {
    entry.file = stored_name(kept_->folder, file);
    entry.path = joined_path(kept_->folder, entry.file);
}

void Descriptor::add_entry(const Uuid& uuid, const Uuid& parent, const std::string& file) {
    if (images.size() >= most_images) {
        refuse(
            fmt::format("The disk has {} images, the most that a descriptor can have. Delete snapshots first: "
                        "ploop snapshot-delete",
                        images.size()));
    }
    ImageEntry entry{.uuid = uuid, .file = {}};
    set_file(entry, file);
    images.push_back(std::move(entry));
    snapshots.push_back({.uuid = uuid, .parent = parent});
}

void Descriptor::erase_entry(const Uuid& uuid) {
    std::erase_if(images, [&](const ImageEntry& entry) { return entry.uuid == uuid; });
    std::erase_if(snapshots, [&](const SnapshotEntry& entry) { return entry.uuid == uuid; });
}

void Descriptor::add_snapshot(const Uuid& uuid, const std::string& file, bool temporary) {
    refuse_old_format();
    refuse_taken(uuid);
    check_depth(chain(top).size());
    Descriptor changed = *this;
    SnapshotEntry& old_top = changed.snapshot_entry(top);
    changed.image_entry(top).uuid = uuid;
    old_top.uuid = uuid;
    old_top.temporary = temporary;
    changed.add_entry(top, uuid, file);
    *this = std::move(changed);
}

void Descriptor::switch_to(const Uuid& uuid, const std::string& file,
                           const std::optional<Uuid>& keep_old_top_as) {
    refuse_old_format();
    if (uuid == top) {
        refuse(fmt::format("The disk is already at {}", uuid.text()));
    }
    Descriptor changed = *this;
    if (changed.snapshot_entry(uuid).temporary) {
        refuse(fmt::format("The snapshot {} is temporary and will go away by itself; choose another",
                           uuid.text()));
    }
    check_depth(chain(uuid).size());
    if (keep_old_top_as) {
        refuse_taken(*keep_old_top_as);
        changed.image_entry(top).uuid = *keep_old_top_as;
        changed.snapshot_entry(top).uuid = *keep_old_top_as;
    } else {
        changed.erase_entry(top);
    }
    changed.add_entry(top, uuid, file);
    *this = std::move(changed);
}

void Descriptor::merge(const Uuid& child, const std::string& file) {
    Descriptor changed = *this;
    const SnapshotEntry upper = changed.snapshot_entry(child);
    if (upper.parent.is_none()) {
        refuse(fmt::format("The snapshot {} is the base image, which has nothing below it to be merged with",
                           child.text()));
    }
    const SnapshotEntry lower = changed.snapshot_entry(upper.parent);
    // At the parent's place, so that parents stay before their children. The image that stays is the parent's
    // file.
    std::erase_if(changed.images, [&](const ImageEntry& entry) { return entry.uuid == child; });
    ImageEntry& image_that_stays = changed.image_entry(lower.uuid);
    image_that_stays.uuid = upper.uuid;
    changed.set_file(image_that_stays, file);
    std::erase_if(changed.snapshots, [&](const SnapshotEntry& entry) { return entry.uuid == child; });
    SnapshotEntry& stays = changed.snapshot_entry(lower.uuid);
    stays = upper;
    stays.parent = lower.parent;
    for (SnapshotEntry& entry : changed.snapshots) {
        if (entry.parent == lower.uuid) {
            entry.parent = upper.uuid;
        }
    }
    *this = std::move(changed);
}

void Descriptor::remove_leaf(const Uuid& uuid) {
    refuse_old_format();
    const SnapshotEntry* leaf = snapshot(uuid);
    if (leaf == nullptr) {
        throw PloopError(
            Exit::no_snapshot, ErrorCode::usage,
            fmt::format("Can't find snapshot by uuid {}; ploop snapshot-list shows those that are there",
                        uuid.text()));
    }
    if (!children(uuid).empty()) {
        refuse(fmt::format("The snapshot {} has snapshots on it; it cannot simply be removed", uuid.text()));
    }
    const Uuid parent = leaf->parent;
    if (parent.is_none()) {
        refuse(fmt::format("The snapshot {} is the base image of the disk; it cannot be removed", uuid.text()));
    }
    const bool is_top = uuid == top;
    if (is_top && children(parent).size() > 1) {
        refuse(fmt::format(
            "The parent {} of the top has other snapshots on it, so it cannot become the top that is "
            "written to. Switch to a snapshot instead: ploop snapshot-switch",
            parent.text()));
    }
    Descriptor changed = *this;
    changed.erase_entry(uuid);
    if (is_top) {
        changed.image_entry(parent).uuid = top;
        SnapshotEntry& new_top = changed.snapshot_entry(parent);
        new_top.uuid = top;
        new_top.temporary = false;
    }
    *this = std::move(changed);
}

void Descriptor::set_temporary(const Uuid& uuid, bool temporary) {
    if (temporary && uuid == top) {
        refuse("The top of a disk cannot be temporary");
    }
    snapshot_entry(uuid).temporary = temporary;
}

} // namespace disktool::ploop
