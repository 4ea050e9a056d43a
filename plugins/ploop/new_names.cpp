// SPDX-License-Identifier: LGPL-2.1-or-later
#include "new_names.h"

#include "operations.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <string_view>

namespace disktool::ploop {

namespace {

constexpr std::string_view part_suffix = ".disktool-part";

/// The descriptor names the part: the old file goes, the part gets its name too, then the descriptor says so.
void finish(PloopDisk& disk, Descriptor named) {
    FileDoor& files = disk.doors().files;
    ImageEntry& entry = named.images.front();
    const std::string part = disk.file_of(entry.uuid);
    const std::string path = part.substr(0, part.size() - part_suffix.size());
    const std::optional<FileStatus> made = files.status(part, false);
    if (!made) {
        throw Error(
            ErrorCode::recovery,
            fmt::format(
                "{} names {}, which a conversion was to finish and which is not there any more. Give the file "
                "back, or restore the disk from a backup",
                disk.path(), part),
            Reason::job_not_recoverable);
    }
    const std::optional<FileStatus> old = files.status(path, false);
    if (!old || !old->same_file(*made)) {
        if (old) {
            files.remove(path);
        }
        files.link(part, path);
        files.sync_directory(directory_of(path));
    }
    entry.file.resize(entry.file.size() - part_suffix.size());
    entry.path = path;
    named.store(files, disk.path());
    disk.descriptor = named;
    files.remove(part);
    files.sync_directory(directory_of(path));
}

} // namespace

std::string part_name(const std::string& path) {
    return path + std::string(part_suffix);
}

void take_name(FileDoor& files, const std::string& part, const std::string& path) {
    files.link(part, path);
    files.remove(part);
    files.sync_directory(directory_of(path));
}

void replace_image(PloopDisk& disk, Descriptor changed) {
    ImageEntry& entry = changed.images.front();
    entry.file = part_name(entry.file);
    entry.path = part_name(entry.path);
    disk.say("Storing " + disk.path());
    changed.store(disk.doors().files, disk.path());
    disk.descriptor = changed;
    finish(disk, changed);
}

bool replacing_unfinished(const Descriptor& descriptor) {
    return descriptor.images.size() == 1 && descriptor.images.front().file.ends_with(part_suffix);
}

bool finish_replacing(PloopDisk& disk) {
    if (disk.descriptor.images.size() != 1) {
        return false;
    }
    FileDoor& files = disk.doors().files;
    const ImageEntry& entry = disk.descriptor.images.front();
    if (replacing_unfinished(disk.descriptor)) {
        finish(disk, disk.descriptor);
        return true;
    }
    // Killed before the descriptor named it, or after it named the image again.
    const std::string part = part_name(disk.file_of(entry.uuid));
    if (!files.status(part, false)) {
        return false;
    }
    files.remove(part);
    files.sync_directory(directory_of(part));
    return true;
}

} // namespace disktool::ploop
