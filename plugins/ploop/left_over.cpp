// SPDX-License-Identifier: LGPL-2.1-or-later
#include "left_over.h"

#include "bat_switch.h"
#include "convert_version.h"
#include "finish_merge.h"
#include "image_path.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

namespace disktool::ploop {

namespace {

using Json = nlohmann::ordered_json;

constexpr int job_version = 1;
constexpr std::size_t largest_job = 1 * MiB;
constexpr std::size_t most_files = 1000;

std::string in_folder(const std::string& descriptor_path, const std::string& name) {
    return joined_path(directory_of(descriptor_path), name);
}

Json to_json(const std::string& descriptor_path, const std::vector<JobFile>& list) {
    Json result = Json::array();
    for (const JobFile& file : list) {
        result.push_back({{"file", stored_name(directory_of(descriptor_path), file.path)},
                          {"device", file.device},
                          {"inode", file.inode}});
    }
    return result;
}

std::vector<JobFile> from_json(const std::string& descriptor_path, const Json& list) {
    if (list.size() > most_files) {
        throw std::runtime_error("it lists more files than any disk has");
    }
    std::vector<JobFile> result;
    for (const Json& file : list) {
        result.push_back({in_folder(descriptor_path, file.at("file").get<std::string>()),
                          file.at("device").get<std::uint64_t>(), file.at("inode").get<std::uint64_t>()});
    }
    return result;
}

Json to_json(const std::vector<Uuid>& list) {
    Json result = Json::array();
    for (const Uuid& uuid : list) {
        result.push_back(uuid.text());
    }
    return result;
}

std::vector<Uuid> uuids_from_json(const Json& list) {
    if (list.size() > most_files) {
        throw std::runtime_error("it lists more snapshots than any disk has");
    }
    std::vector<Uuid> result;
    for (const Json& text : list) {
        const std::optional<Uuid> uuid = Uuid::parse(text.get<std::string>());
        if (!uuid) {
            throw std::runtime_error("it lists a snapshot by something that is no uuid");
        }
        result.push_back(*uuid);
    }
    return result;
}

bool names(const PloopDisk& disk, const std::string& path) {
    FileDoor& files = disk.doors().files;
    const std::optional<FileStatus> wanted = files.status(path, false);
    return std::ranges::any_of(disk.descriptor.images, [&](const ImageEntry& entry) {
        const std::string named = in_folder(disk.path(), entry.file);
        if (named == path) {
            return true;
        }
        const std::optional<FileStatus> status = wanted ? files.status(named) : std::nullopt;
        return status && status->same_file(*wanted);
    });
}

/// A raw image is the guest's own bytes, which may look like anything.
std::optional<Header> header_of(const PloopDisk& disk, const ImageEntry& entry) {
    if (entry.raw) {
        return std::nullopt;
    }
    try {
        const auto file = disk.doors().files.open(disk.file_of(entry.uuid), {});
        std::array<std::byte, header_size> bytes{};
        if (file->read_some(0, bytes) != bytes.size()) {
            return std::nullopt;
        }
        return parse_header(bytes, file->path());
    } catch (const Error&) {
        return std::nullopt; // whoever needs the image will say what is wrong with it
    }
}

/// All but the highest, which keeps its name and its content.
std::string going_text(const DiskJob& job) {
    std::vector<std::string> uuids;
    for (std::size_t i = 0; i + 1 < job.merge.size(); ++i) {
        uuids.push_back(job.merge[i].text());
    }
    return fmt::format("Snapshot{} {}", uuids.size() == 1 ? "" : "s", fmt::join(uuids, ", "));
}

void finish_switches(PloopDisk& disk) {
    // A copy: what follows a switch may store, and so replace, the descriptor.
    const std::vector<ImageEntry> images = disk.descriptor.images;
    for (const ImageEntry& entry : images) {
        if (!header_of(disk, entry)) {
            continue;
        }
        const std::string path = disk.file_of(entry.uuid);
        if (!switch_left(disk.doors(), *disk.doors().files.open(path, {}))) {
            continue;
        }
        const auto file = disk.doors().files.open(path, {.write = true});
        const bool is_top = disk.file_of(disk.descriptor.top) == path;
        if (recover_switch(disk.doors(), *file, is_top ? [&] { store_size_of_top(disk); } : Settled())) {
            disk.say(fmt::format("An interrupted change of {} was brought to its end", path));
        }
    }
}

/// Lower images are only in use while a merge moves data into them. The top may be in use by a mount, so
/// without a job that says otherwise it is left alone, and so is the whole disk.
void close_images(const PloopDisk& disk, const std::optional<DiskJob>& job) {
    const ImageEntry* top = disk.descriptor.image(disk.descriptor.top);
    const std::optional<Header> top_header = top != nullptr ? header_of(disk, *top) : std::nullopt;
    const bool top_in_use = top_header && top_header->is_in_use();
    for (const ImageEntry& entry : disk.descriptor.images) {
        const std::optional<Header> header = header_of(disk, entry);
        if (!header || !header->is_in_use()) {
            continue;
        }
        const bool ours = job && is_listed(disk, entry, job->changing);
        if (!ours && (top_in_use || entry.uuid == disk.descriptor.top)) {
            continue;
        }
        try {
            close_image(disk, entry.uuid);
        } catch (const Error& error) {
            disk.say(fmt::format("{} is in use by an interrupted merge, and cannot be closed: {}",
                                 disk.file_of(entry.uuid), error.what()));
            continue;
        }
        disk.say(fmt::format("{} was left in use by an interrupted run, and is closed now",
                             disk.file_of(entry.uuid)));
        if (entry.uuid != disk.descriptor.top) {
            const bool told = ours && job->merge.size() > 1;
            disk.say(fmt::format("{} may hold newer data than they should: run the interrupted {} again. The "
                                 "disk itself is as it was",
                                 told ? going_text(*job)
                                      : fmt::format("Snapshot {}, and those above it that were to be merged "
                                                    "with it,",
                                                    entry.uuid.text()),
                                 told ? job->verb : "merge or delete"));
        }
    }
}

/// What the run had taken at the end of an image, and nothing refers to.
void cut_tails(const PloopDisk& disk, const DiskJob& job) {
    for (const ImageEntry& entry : disk.descriptor.images) {
        if (!is_listed(disk, entry, job.changing)) {
            continue;
        }
        try {
            cut_tail_of(disk, entry.uuid);
        } catch (const Error& error) {
            disk.say(fmt::format("What an interrupted {} has left at the end of {} stays there: {}. \"ploop "
                                 "check -f\" cuts it off",
                                 job.verb, disk.file_of(entry.uuid), error.what()));
        }
    }
}

/// The top has the new size and the descriptor the old one: the data is in the new state already.
void finish_grow(PloopDisk& disk, const DiskJob& job) {
    const ImageEntry* top = disk.descriptor.image(disk.descriptor.top);
    if (job.disk_sectors == 0 || job.disk_sectors == disk.descriptor.disk_sectors || top == nullptr ||
        !is_listed(disk, *top, job.changing)) {
        return;
    }
    const auto delta = disk.open_delta(disk.descriptor.top, Access::read, true);
    if (delta->disk_size() != job.disk_sectors * sector_size) {
        return;
    }
    Descriptor changed = disk.descriptor;
    changed.set_size(job.disk_sectors);
    changed.modernise();
    changed.store(disk.doors().files, disk.path());
    disk.descriptor = std::move(changed);
    disk.say(fmt::format("An interrupted grow to {} was brought to its end",
                         size_text(job.disk_sectors * sector_size)));
}

void remove_temporaries(const PloopDisk& disk) {
    FileDoor& files = disk.doors().files;
    bool removed = false;
    // The original stores by way of X.xml.tmp and, where it stores that first, X.xml.tmp.tmp; and so do we.
    for (const char* suffix : {".tmp.tmp", ".tmp", ".disktool-job.new"}) {
        const std::string path = disk.path() + suffix;
        const std::optional<FileStatus> status = files.status(path, false);
        if (status && status->type == FileType::regular) {
            files.remove(path);
            removed = true;
        }
    }
    if (removed) {
        files.sync_directory(directory_of(disk.path()));
    }
}

} // namespace

bool is_listed(const PloopDisk& disk, const ImageEntry& entry, const std::vector<JobFile>& list) {
    const std::optional<FileStatus> status = disk.doors().files.status(in_folder(disk.path(), entry.file));
    return status && std::ranges::any_of(list, [&](const JobFile& file) {
               return file.device == status->device && file.inode == status->inode;
           });
}

std::string job_path(const std::string& descriptor_path) {
    return descriptor_path + ".disktool-job";
}

std::optional<DiskJob> read_job(FileDoor& files, const std::string& descriptor_path) {
    const std::string path = job_path(descriptor_path);
    const std::optional<FileStatus> status = files.status(path, false);
    if (!status) {
        return std::nullopt;
    }
    // It tells which files to remove, so it must come from whoever could remove them anyway.
    if (status->type != FileType::regular || (status->owner != ::geteuid() && status->owner != 0)) {
        throw Error(
            ErrorCode::recovery,
            fmt::format("{} looks like the record of an interrupted job, but belongs to user {}, so it is "
                        "not followed. Let that user run the command again, or remove it",
                        path, status->owner),
            Reason::job_not_recoverable);
    }
    try {
        const Json json = Json::parse(files.read_text(path, largest_job));
        if (json.at("version") != job_version) {
            throw std::runtime_error("another version of this program wrote it");
        }
        DiskJob job;
        job.verb = json.at("verb").get<std::string>();
        job.made = from_json(descriptor_path, json.at("made"));
        job.gone = from_json(descriptor_path, json.at("gone"));
        job.changing = from_json(descriptor_path, json.at("changing"));
        job.disk_sectors = json.at("disk_sectors").get<std::uint64_t>();
        job.merge = uuids_from_json(json.value("merge", Json::array()));
        job.image_version = json.value("image_version", 0u);
        if (job.image_version > 2) {
            throw std::runtime_error("it names a version of the format that there is not");
        }
        return job;
    } catch (const std::exception& error) {
        throw Error(
            ErrorCode::recovery,
            fmt::format("the record of an interrupted job, {}, cannot be understood: {}. Check the images "
                        "(ploop check), and when they are in order remove the record",
                        path, error.what()),
            Reason::job_not_recoverable);
    }
}

void write_job(FileDoor& files, const std::string& descriptor_path, const DiskJob& job) {
    const Json json = {{"version", job_version},
                       {"verb", job.verb},
                       {"made", to_json(descriptor_path, job.made)},
                       {"gone", to_json(descriptor_path, job.gone)},
                       {"changing", to_json(descriptor_path, job.changing)},
                       {"disk_sectors", job.disk_sectors},
                       {"merge", to_json(job.merge)},
                       {"image_version", job.image_version}};
    // A name that is not UTF-8 would come back as another one, and so never match a file: nothing is removed.
    files.replace_text(job_path(descriptor_path),
                       json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void remove_job(FileDoor& files, const std::string& descriptor_path) {
    if (files.status(job_path(descriptor_path), false)) {
        files.remove(job_path(descriptor_path));
        files.sync_directory(directory_of(descriptor_path));
    }
}

JobFile identify(FileDoor& files, const std::string& path) {
    const std::optional<FileStatus> status = files.status(path, false);
    if (!status) {
        throw SystemError("Cannot find", path, ENOENT, SystemCall::open);
    }
    return {path, status->device, status->inode};
}

bool remove_listed(FileDoor& files, const JobFile& file) {
    const std::optional<FileStatus> status = files.status(file.path, false);
    if (!status || status->type != FileType::regular) {
        return false;
    }
    const bool same =
        file.inode == 0 ? status->size == 0 : status->device == file.device && status->inode == file.inode;
    if (same) {
        files.remove(file.path);
        files.sync_directory(directory_of(file.path));
    }
    return same;
}

bool close_image(const PloopDisk& disk, const Uuid& uuid) {
    const auto delta = disk.open_delta(uuid, Access::write, true);
    if (delta->raw() || !delta->header().is_in_use()) {
        return false;
    }
    delta->begin();
    delta->end();
    return true;
}

void cut_tail_of(const PloopDisk& disk, const Uuid& uuid) {
    const auto delta = disk.open_delta(uuid, Access::write);
    if (!delta->raw() && delta->has_tail()) {
        delta->begin();
        delta->cut_tail();
        delta->end();
    }
}

void recover_left_over(PloopDisk& disk) {
    FileDoor& files = disk.doors().files;
    const std::optional<DiskJob> job = read_job(files, disk.path());
    remove_temporaries(disk);
    finish_switches(disk);
    if (job) {
        finish_merge(disk, *job);
    }
    close_images(disk, job);
    if (!job) {
        return;
    }
    cut_tails(disk, *job);
    finish_grow(disk, *job);
    finish_version(disk, *job);
    for (const auto& list : {job->made, job->gone}) {
        for (const JobFile& file : list) {
            if (!names(disk, file.path) && remove_listed(files, file)) {
                disk.say(fmt::format("Removing {}, left by an interrupted {}", file.path, job->verb));
            }
        }
    }
    remove_job(files, disk.path());
}

} // namespace disktool::ploop
