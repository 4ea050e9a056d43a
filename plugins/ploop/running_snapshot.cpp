// SPDX-License-Identifier: LGPL-2.1-or-later
// A snapshot of a disk that is in use.
//
// The new top is made, and the old one flushed, beside guest I/O; what is left for the pause is what was
// written meanwhile, the end of the old top and the rename of the descriptor.
#include "image_path.h"
#include "running_change.h"
#include "served_disk.h"

#include <disktool/error.h>

#include <fmt/format.h>

namespace disktool::ploop {

namespace {

/// Thaws whatever happens.
class Frozen {
  public:
    explicit Frozen(const Freezer& freezer) : freezer_(freezer) { freezer_.freeze(); }
    Frozen(const Frozen&) = delete;
    Frozen& operator=(const Frozen&) = delete;
    ~Frozen() { freezer_.thaw(); }

  private:
    const Freezer& freezer_;
};

} // namespace

void ServedDisk::push_images_top(std::unique_ptr<Delta> fresh, const Freezer& freezer, SnapshotDone& done) {
    const Frozen frozen(freezer);
    device_->flush(); // what the freezing has written
    {
        ChainDevice::Pause pause(*device_);
        try {
            top().end();
        } catch (...) {
            top().begin();
            throw;
        }
        pause.push_top(std::move(fresh));
        done.stalled_us = static_cast<std::uint64_t>(pause.length().count());
    }
    const std::lock_guard lock(mutex_);
    levels_.push_back({Uuid::none(), done.file});
}

RunningDisk::SnapshotDone ServedDisk::switch_top(DiskChange& change, std::unique_ptr<Delta> fresh,
                                                 const Freezer& freezer) {
    SnapshotDone done;
    std::exception_ptr late;
    const std::string path = fresh->path();
    const Frozen frozen(freezer);
    device_->flush(); // what the freezing has written
    {
        ChainDevice::Pause pause(*device_);
        try {
            top().end();
            change.switch_over();
        } catch (...) {
            if (!change.replaced()) {
                top().begin();
                throw;
            }
            late = std::current_exception(); // the name shows the new disk, so it goes on
            owe_folder(pause, change.disk);
        }
        pause.push_top(std::move(fresh));
        done.stalled_us = static_cast<std::uint64_t>(pause.length().count());
    }
    {
        const std::lock_guard lock(mutex_);
        levels_.push_back({Uuid::top(), path});
    }
    adopt(change.after);
    if (late) {
        std::rethrow_exception(late);
    }
    return done;
}

void ServedDisk::say_creation(const std::string& file, const Freezer& freezer, const Say& say) const {
    const Header& header = top().header();
    say(fmt::format("Creating delta {} bs={} size={} sectors v{}", file, cluster_sectors(), header.disk_sectors,
                    top().raw() ? 2u : static_cast<unsigned>(header.version)));
    if (!freezer.device.empty()) {
        say(fmt::format("Creating snapshot dev={} img={}", freezer.device, file));
    }
}

RunningDisk::SnapshotDone ServedDisk::snapshot(const RunningSnapshot& request, const Freezer& freezer,
                                               const Say& say) {
    if (source_.descriptor.empty() && !request.new_file.empty()) {
        return snapshot_of_images(request, freezer, say);
    }
    const auto disk = open_for("snapshot", say);
    refuse_bitmap(*disk, request.request);
    const Uuid uuid = request.request.uuid.value_or(Uuid::random());
    Descriptor after = disk->descriptor;
    after.add_snapshot(uuid,
                       request.new_file.empty()
                           ? after.new_file_name()
                           : stored_name(directory_of(disk->path()), disk->gated(request.new_file)),
                       request.temporary);
    const std::string file = resolve(doors_.files, disk->path(), *after.image(Uuid::top()), source_.allowed);
    SnapshotDone done{.uuid = uuid, .file = file};
    if (request.plan_only) {
        return done;
    }
    say(fmt::format("Adding snapshot {}", Uuid::top().text()));
    DiskChange change(*disk, "snapshot", std::move(after));
    change.will_make(file);
    try {
        change.begin();
        say_creation(file, freezer, say);
        disk->create_delta(file, top(), [&](File& made) { change.made(made); });
        auto fresh = open_level(file, Access::write, 0);
        fresh->begin();
        device_->flush();
        done = switch_top(change, std::move(fresh), freezer);
    } catch (...) {
        take_back(change, say);
        throw;
    }
    // Nobody writes to it any more, but others may read it.
    change_lock(device_->deltas()[levels_.size() - 2]->file(), Access::read, say);
    change.finish();
    done.uuid = uuid;
    done.file = file;
    say(fmt::format("ploop snapshot {} has been successfully created", uuid.text()));
    return done;
}

} // namespace disktool::ploop
