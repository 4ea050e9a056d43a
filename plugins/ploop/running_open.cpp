// SPDX-License-Identifier: LGPL-2.1-or-later
// A disk is taken into use: recovered, checked, locked, marked.
#include "check.h"
#include "check_advice.h"
#include "device/device_state.h"
#include "image_path.h"
#include "left_over.h"
#include "new_names.h"
#include "ploop_error.h"
#include "running.h"
#include "served_disk.h"
#include "temporary_snapshots.h"

#include <disktool/error.h>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <tuple>
#include <utility>

namespace disktool::ploop {

namespace {

[[noreturn]] void in_use(const std::string& path, const std::string& device) {
    throw PloopError(Exit::mount, ErrorCode::locked,
                     fmt::format("{} is in use by {}: it is mounted already", path, device),
                     Reason::image_in_use);
}

/// Who writes to one of the images, or has the one that we want to write to.
void refuse_other_devices(FileDoor& files, const std::vector<ServedDisk::Level>& levels, bool writable) {
    for (const ServedDisk::Level& level : levels) {
        const std::optional<FileStatus> status = files.status(level.path);
        if (!status) {
            continue; // who opens it tells
        }
        const bool ours = writable && &level == &levels.back();
        for (const DeviceState& state : devices_of_image(*status)) {
            const DeviceImage& top = state.images.back();
            const bool writes = !state.read_only && top.is(*status);
            if (state.alive && state.pid != ::getpid() && (writes || ours)) {
                in_use(level.path, state.node);
            }
        }
    }
}

/// Is any image of the disk in use by a device? Then nothing is mended: whoever runs it has it in order.
bool lives(const PloopDisk& disk) {
    return std::ranges::any_of(disk.descriptor.images, [&](const ImageEntry& entry) {
        try {
            refuse_running(disk.doors().files, joined_path(directory_of(disk.path()), entry.file));
        } catch (const PloopError&) {
            return true;
        }
        return false;
    });
}

std::unique_ptr<PloopDisk> open_locked(Doors doors, const RunningSource& source, const Say& say) {
    DiskOptions options;
    options.allowed = source.allowed;
    options.served_by_us = true;
    options.say = say;
    try {
        return PloopDisk::open(doors, source.descriptor, options);
    } catch (const SystemError& error) {
        // A host's file system that is read-only cannot have a lock file, and needs none.
        if (error.error_number() != EROFS || (!source.read_only && !source.uuid)) {
            throw;
        }
        options.access = Access::read;
        return PloopDisk::open(doors, source.descriptor, options);
    }
}

/// Up to that one, and how many of the first are raw.
std::pair<std::vector<ServedDisk::Level>, std::size_t> levels_of(const PloopDisk& disk, const Uuid& uuid) {
    std::pair<std::vector<ServedDisk::Level>, std::size_t> result{};
    for (const Uuid& member : disk.descriptor.chain(uuid)) {
        result.second += disk.descriptor.image(member)->raw ? 1 : 0;
        result.first.push_back({member, disk.file_of(member)});
    }
    return result;
}

struct Checking {
    std::uint32_t cluster_sectors;
    std::size_t raw_count; ///< of the first images
    bool as_stack;         ///< the check of a descriptor; else of images that are named one by one
    bool writable;
};

/// Exits as the check does that finds something.
void check_images(FileDoor& files, const std::vector<ServedDisk::Level>& levels, const Checking& how,
                  const Say& say) {
    const CheckWriter writer{say, say};
    std::vector<std::unique_ptr<File>> opened;
    std::vector<CheckedImage> images;
    for (std::size_t i = 0; i < levels.size(); ++i) {
        opened.push_back(files.open(levels[i].path, {}));
        CheckedImage image;
        image.file = opened.back().get();
        image.raw = i < how.raw_count;
        image.allow_sparse = true;
        if (how.writable && i + 1 == levels.size()) {
            image.writable = [&files, path = levels[i].path] { return files.open(path, {.write = true}); };
        }
        images.push_back(std::move(image));
    }
    CheckResult result;
    if (how.as_stack) {
        result = check_stack(images, how.cluster_sectors, writer);
    }
    for (std::size_t i = 0; !how.as_stack && i < images.size() && result.exit_code == 0; ++i) {
        CheckOptions options;
        options.thorough = options.silent = options.read_only = options.allow_sparse = true;
        options.raw = images[i].raw;
        options.raw_cluster_sectors = how.cluster_sectors;
        result = check_image(*images[i].file, options, writer, {});
        if (result.was_dirty) {
            result.exit_code = static_cast<int>(Exit::dirty);
        }
    }
    if (result.exit_code != 0) {
        throw PloopError(static_cast<Exit>(result.exit_code), ErrorCode::damaged,
                         advice_on(result, images, how.cluster_sectors),
                         result.was_dirty ? Reason::image_dirty : Reason::image_corrupt);
    }
}

std::unique_ptr<RunningDisk> open_images(Doors doors, const RunningSource& source, const Say& say) {
    if (source.images.empty()) {
        refuse("No image is named; name a DiskDescriptor.xml, or images from the base to the top");
    }
    std::vector<ServedDisk::Level> levels;
    for (const std::string& image : source.images) {
        if (!doors.files.status(image)) {
            throw PloopError(
                Exit::image_open, ErrorCode::not_found,
                fmt::format("{} does not exist; name the images of the disk, the base first", image));
        }
        levels.push_back({Uuid::none(), doors.files.real_path(image)});
    }
    const bool writable = !source.read_only;
    refuse_other_devices(doors.files, levels, writable);
    if (writable) {
        refuse_running(doors.files, levels.back().path);
    }
    const std::size_t raw_count = source.raw_base ? 1 : 0;
    check_images(doors.files, levels, {source.raw_cluster_sectors, raw_count, false, writable}, say);
    auto disk = std::make_unique<ServedDisk>(doors, source, writable);
    disk->start(std::move(levels), source.raw_cluster_sectors, raw_count);
    return disk;
}

} // namespace

std::unique_ptr<RunningDisk> RunningDisk::open(Doors doors, const RunningSource& source, const Say& say) {
    if (source.descriptor.empty()) {
        return open_images(doors, source, say);
    }
    const auto disk = open_locked(doors, source, say);
    if (!disk->descriptor.key_id.empty()) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("{} is encrypted (key {}); its content cannot be read without the key, which "
                                "disktool does not take",
                                disk->path(), disk->descriptor.key_id),
                    Reason::encrypted);
    }
    const bool in_life = lives(*disk);
    if (!in_life && disk->options().access == Access::write) {
        recover_left_over(*disk);
        if (finish_replacing(*disk)) {
            say("An interrupted conversion of " + disk->path() + " was brought to its end");
        }
    }
    const Uuid uuid = source.uuid.value_or(disk->descriptor.top);
    if (disk->descriptor.image(uuid) == nullptr) {
        refuse_unknown(*disk, uuid);
    }
    const bool is_top = uuid == disk->descriptor.top;
    const bool writable = is_top && !source.read_only;
    auto [levels, raw_count] = levels_of(*disk, uuid);
    refuse_other_devices(doors.files, levels, writable);
    if (is_top) { // who serves it without a device (mount --fuse), or another program
        refuse_running(doors.files, levels.back().path);
    }
    // Also read-only a top that was left in use is mended, where that can be done.
    const bool mend = is_top && !in_life && disk->options().access == Access::write;
    check_images(doors.files, levels, {disk->descriptor.cluster_sectors, raw_count, true, mend}, say);
    if (writable && !in_life && remove_temporary_snapshots(*disk)) {
        std::tie(levels, raw_count) = levels_of(*disk, disk->descriptor.top);
    }
    RunningSource absolute = source;
    absolute.descriptor = disk->path();
    auto served = std::make_unique<ServedDisk>(doors, std::move(absolute), writable);
    served->start(std::move(levels), disk->descriptor.cluster_sectors, raw_count);
    return served;
}

} // namespace disktool::ploop
