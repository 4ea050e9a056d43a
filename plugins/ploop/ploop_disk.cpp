// SPDX-License-Identifier: LGPL-2.1-or-later
// A disk named by its descriptor: opening, and its images.
#include "descriptor_lock.h"
#include "left_over.h"
#include "new_delta.h"
#include "new_names.h"
#include "operations.h"
#include "raw_work.h"
#include "running.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <array>

namespace disktool::ploop {

PloopDisk::PloopDisk(Doors doors, std::string path, DiskOptions options)
    : descriptor(Descriptor::load(doors.files, path)), doors_(doors), path_(std::move(path)),
      options_(std::move(options)) {}

PloopDisk::~PloopDisk() = default;

std::unique_ptr<PloopDisk> PloopDisk::open(Doors doors, const std::string& descriptor_path,
                                           const DiskOptions& options) {
    if (!doors.files.status(descriptor_path)) {
        throw PloopError(
            Exit::no_descriptor, ErrorCode::not_found,
            fmt::format("{} does not exist: name the DiskDescriptor.xml of a ploop disk", descriptor_path));
    }
    const std::string path = doors.files.real_path(descriptor_path);
    std::unique_ptr<PloopDisk> disk(new PloopDisk(doors, path, options));
    if (options.access == Access::write) {
        disk->lock_ = std::make_unique<DescriptorLock>(doors.files, path, options.wait, options.cancel);
        // Someone may have changed it while we waited.
        disk->descriptor = Descriptor::load(doors.files, path);
        if (options.served_by_us) {
            return disk;
        }
        refuse_running(doors.files, disk->file_of(disk->descriptor.top));
        if (options.lock_base_image) {
            disk->lock_->lock_base_image(disk->file_of(disk->descriptor.chain(disk->descriptor.top).front()));
        }
        recover_left_over(*disk);
        if (finish_replacing(*disk)) {
            disk->say("An interrupted conversion of " + path + " was brought to its end");
        }
        finish_raw_work(*disk);
    }
    return disk;
}

void store_size(PloopDisk& disk, std::uint64_t disk_sectors) {
    if (disk.descriptor.disk_sectors == disk_sectors) {
        return;
    }
    Descriptor changed = disk.descriptor;
    changed.modernise();
    changed.set_size(disk_sectors);
    changed.store(disk.doors().files, disk.path());
    disk.descriptor = changed;
}

void store_size_of_top(PloopDisk& disk) {
    std::array<std::byte, header_size> bytes{};
    const auto file = disk.doors().files.open(disk.file_of(disk.descriptor.top), {});
    file->read(0, bytes);
    store_size(disk, parse_header(bytes, file->path()).disk_sectors);
}

std::string PloopDisk::file_of(const Uuid& uuid) const {
    const ImageEntry* entry = descriptor.image(uuid);
    if (entry == nullptr) {
        throw PloopError(
            Exit::no_snapshot, ErrorCode::not_found,
            fmt::format("Can't find snapshot {} in {}; \"ploop snapshot-list\" tells which there are",
                        uuid.text(), path_));
    }
    return resolve(doors_.files, path_, *entry, options_.allowed);
}

std::string PloopDisk::gated(const std::string& path) const {
    FileDoor& files = doors_.files;
    std::string folder = files.real_path(directory_of(path));
    const std::string name = path.substr(path.find_last_of('/') + 1);
    if (name.empty() || name == "." || name == "..") {
        throw PloopError(Exit::invalid_parameter, ErrorCode::usage,
                         fmt::format("\"{}\" does not name a file; give the name of an image file", path));
    }
    return resolve_given(files, path_, (folder == "/" ? "" : folder) + "/" + name, options_.allowed);
}

std::unique_ptr<Delta> PloopDisk::open_delta(const Uuid& uuid, Access access, bool dirty_too) const {
    const std::string path = file_of(uuid);
    auto file = doors_.files.open(path, {.write = access == Access::write, .cache = HostCache::small_requests});
    const ImageEntry& entry = *descriptor.image(uuid);
    return entry.raw ? Delta::open_raw(std::move(file), access, descriptor.cluster_sectors)
                     : Delta::open(std::move(file), access, dirty_too);
}

std::unique_ptr<ChainDevice> PloopDisk::open_chain(const Uuid& uuid, Access access) const {
    std::vector<std::unique_ptr<Delta>> deltas;
    for (const Uuid& member : descriptor.chain(uuid)) {
        deltas.push_back(open_delta(member, member == uuid ? access : Access::read));
    }
    return std::make_unique<ChainDevice>(std::move(deltas), path_);
}

void PloopDisk::create_delta(const std::string& path, const Delta& like,
                             const std::function<void(File&)>& created) const {
    ploop::create_delta(doors_.files, path, like, created);
}

void create_delta(FileDoor& files, const std::string& path, const Delta& like,
                  const std::function<void(File&)>& created) {
    const auto file = files.open(
        path, {.write = true, .create = true, .exclusive = true, .follow_links = false, .mode = 0600});
    if (created) {
        created(*file);
    }
    const Header& header = like.header();
    Delta::create(*file, {.disk_sectors = round_up(header.disk_sectors, header.cluster_sectors),
                          .cluster_sectors = header.cluster_sectors,
                          .version = like.raw() ? Version::v2 : header.version,
                          .preallocated = false});
    files.sync_directory(directory_of(path));
}

} // namespace disktool::ploop
