// SPDX-License-Identifier: LGPL-2.1-or-later
// Another file takes the place of an image of a disk in use: one that is only read.
#include "compare_images.h"
#include "image_path.h"
#include "replace.h"
#include "served_disk.h"

#include <disktool/error.h>
#include <disktool/log.h>
#include <disktool/size.h>

#include <fmt/format.h>

namespace disktool::ploop {

/// Null, or the error that came when the name had been taken already.
std::exception_ptr ServedDisk::take_old_name_from(const std::string& new_file, const std::string& old_file) {
    try {
        take_old_name(doors_.files, new_file, old_file);
        return nullptr;
    } catch (const Error&) {
        if (doors_.files.status(new_file, false)) {
            throw;
        }
        return std::current_exception();
    }
}

void ServedDisk::replace(const RunningReplace& request, const Say& say, const Watch& watch) {
    const auto disk = open_for("replace", say);
    ReplaceRequest named = request.request;
    if (request.level) {
        if (*request.level >= levels_.size() || named.uuid || !named.current_file.empty()) {
            refuse(
                fmt::format("{} has the levels 0 to {}; name the image by one of them, by its uuid or by its "
                            "file",
                            disk->path(), levels_.size() - 1));
        }
        named.uuid = levels_[*request.level].uuid;
    }
    const Uuid uuid = uuid_to_replace(*disk, named);
    if (uuid == disk->descriptor.top) {
        refuse(fmt::format("{} is what the mounted disk writes to, and changes while it is compared. Make a "
                           "snapshot, or unmount the disk",
                           levels_.back().path),
               Reason::image_in_use);
    }
    const std::string new_file = replacement_of(*disk, named);
    const std::string old_file = disk->file_of(uuid);
    const std::size_t level = level_of(uuid);
    const std::uint32_t raw_sectors = disk->descriptor.image(uuid)->raw ? disk->descriptor.cluster_sectors : 0;
    std::unique_ptr<Delta> opened;
    if (level == levels_.size()) {
        opened = disk->open_delta(uuid, Access::read);
    }
    const Delta& old = opened ? *opened : *device_->deltas()[level];
    ChainDevice::Deltas fresh;
    fresh.push_back(open_level(new_file, Access::read, raw_sectors));
    Report report{say, watch};
    report.total = 2 * old.allocated_clusters() * old.cluster_size();
    if (watch.plan_only) {
        report.advance(0);
        return;
    }
    require_same_content(old, *fresh.back(), disk->descriptor.snapshot(uuid)->parent.is_none(),
                         [&](std::uint64_t bytes) {
                             report.advance(bytes);
                             report.check();
                         });

    sync_replacement(doors_.files, new_file);
    std::exception_ptr late;
    DiskChange change(*disk, "replace", with_replacement(*disk, uuid, new_file));
    if (named.keep_name) {
        late = take_old_name_from(new_file, old_file);
    } else {
        late = switch_over(change);
    }
    if (named.keep_name) {
        try { // by the name that it has now
            auto renamed = open_level(old_file, Access::read, raw_sectors);
            fresh.back() = std::move(renamed);
        } catch (const Error& error) {
            log(LogLevel::warning, error.what());
        }
    }
    if (!opened) {
        exchange(level, 1, std::move(fresh));
        const std::lock_guard lock(mutex_);
        levels_[level].path = named.keep_name ? old_file : new_file;
    }
    if (late) {
        std::rethrow_exception(late);
    }
    say(fmt::format("{} has been replaced by {}", old_file, new_file));
}

} // namespace disktool::ploop
