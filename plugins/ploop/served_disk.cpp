// SPDX-License-Identifier: LGPL-2.1-or-later
// A disk that is mounted, between its verbs.
#include "served_disk.h"

#include "left_over.h"
#include "running.h"

#include <disktool/error.h>
#include <disktool/log.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace disktool::ploop {

RunningDisk::~RunningDisk() = default;

void RunningDisk::Watch::advanced(std::uint64_t done, std::uint64_t total) const {
    if (progress) {
        progress(done, total);
    }
}

ServedDisk::ServedDisk(Doors doors, RunningSource source, bool writable)
    : doors_(doors), source_(std::move(source)), writable_(writable) {}

ServedDisk::~ServedDisk() = default;

std::unique_ptr<File> ServedDisk::open_file(const std::string& path, bool write) const {
    auto file = doors_.files.open(path, {.write = write});
    if (!write) {
        return file;
    }
    std::array<std::byte, header_size> bytes{};
    std::uint64_t unit = MiB;
    if (file->read_some(0, bytes) == bytes.size()) {
        try {
            const Header header = parse_header(bytes, path);
            unit = is_cluster_size(header.cluster_sectors) ? header.cluster_size() : unit;
        } catch (const Error&) { // raw
        }
    }
    return std::make_unique<TrackingFile>(std::move(file), unit);
}

void ServedDisk::lock_image(File& file, Access access) {
    bool alone = false;
    try {
        alone = ImageLock::take_until_closed(file, access, std::nullopt, nullptr);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::locked) {
            throw;
        }
        throw PloopError(Exit::dirty, ErrorCode::locked, error.what(), Reason::image_in_use);
    }
    if (!alone) {
        throw PloopError(Exit::dirty, ErrorCode::locked,
                         fmt::format("The specified disk image \"{}\" is written to by another process: {}",
                                     file.path(), holders_text(lock_holders(file.status()))),
                         Reason::image_in_use);
    }
}

std::unique_ptr<Delta> ServedDisk::open_level(const std::string& path, Access access,
                                              std::uint32_t raw_cluster_sectors) const {
    auto file = open_file(path, access == Access::write);
    lock_image(*file, access);
    return raw_cluster_sectors != 0 ? Delta::open_raw(std::move(file), access, raw_cluster_sectors)
                                    : Delta::open(std::move(file), access);
}

void ServedDisk::start(std::vector<Level> levels, std::uint32_t raw_cluster_sectors, std::size_t raw_count) {
    ChainDevice::Deltas deltas;
    for (std::size_t i = 0; i < levels.size(); ++i) {
        const bool top = i + 1 == levels.size();
        deltas.push_back(open_level(levels[i].path, top && writable_ ? Access::write : Access::read,
                                    i < raw_count ? raw_cluster_sectors : 0));
    }
    device_ = std::make_unique<ChainDevice>(std::move(deltas), source_.descriptor.empty() ? levels.back().path
                                                                                          : source_.descriptor);
    levels_ = std::move(levels);
    if (writable_) {
        // As much as a fast disk writes in some tens of milliseconds, but little beside the disk itself.
        device_->grow_files_by(std::min<std::uint64_t>(64 * MiB, device_->size() / 16));
        device_->begin();
    }
}

std::uint32_t ServedDisk::cluster_sectors() const {
    return top().header().cluster_sectors;
}

std::vector<std::string> ServedDisk::images() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> paths;
    for (const Level& level : levels_) {
        paths.push_back(level.path);
    }
    return paths;
}

Uuid ServedDisk::uuid() const {
    const std::lock_guard lock(mutex_);
    return levels_.back().uuid;
}

std::size_t ServedDisk::level_of(const Uuid& uuid) const {
    const auto found = std::ranges::find(levels_, uuid, &Level::uuid);
    return static_cast<std::size_t>(found - levels_.begin());
}

std::optional<WholeRun> ServedDisk::whole_run() {
    if (device_->deltas().size() != 1) {
        return std::nullopt;
    }
    // A disk that grows by need is meant to change while it runs, even if its clusters happen to lie in a row
    // now.
    if (!source_.descriptor.empty() &&
        Descriptor::load(doors_.files, source_.descriptor).mode == DiskMode::expanded) {
        return std::nullopt;
    }
    Delta& delta = top();
    const Delta::Run run = delta.look(0, delta.clusters());
    const std::uint64_t size = delta.disk_size();
    if (!run.offset || run.clusters < delta.clusters() || delta.file().status().size < *run.offset + size) {
        return std::nullopt;
    }
    if (writable_) {
        delta.expect_changes();
    }
    return WholeRun{delta.path(), {*run.offset, size}};
}

void ServedDisk::require_writable(const char* verb) const {
    if (!writable_) {
        refuse(fmt::format("{} is mounted read-only: {} needs a disk that is mounted for writing",
                           device_->name(), verb));
    }
}

void ServedDisk::require_untracked() const {
    if (tracker().tracking()) {
        throw PloopError(Exit::converting, ErrorCode::locked,
                         fmt::format("{} is being copied (ploop copy): wait until that has ended, or end it",
                                     device_->name()),
                         Reason::image_in_use);
    }
}

/// Of a file that is mounted, and whose name has gone.
[[noreturn]] static void refuse_gone(const std::string& path, const FileStatus& file) {
    throw PloopError(
        Exit::bad_descriptor, ErrorCode::not_found,
        file.links == 0
            ? fmt::format("{} was deleted while it was mounted, and what is on the disk goes with "
                          "the device: copy it out of the mounted file system before you unmount it",
                          path)
            : fmt::format("{} was renamed while it was mounted: give it back that name", path),
        Reason::image_in_use);
}

std::unique_ptr<PloopDisk> ServedDisk::open_for(const char* verb, const Say& say) const {
    require_writable(verb);
    if (source_.descriptor.empty()) {
        refuse(fmt::format("{} was mounted by its images, without a DiskDescriptor.xml, which {} would have to "
                           "change. Unmount it, and mount the descriptor",
                           device_->name(), verb));
    }
    require_untracked();
    DiskOptions options;
    options.allowed = source_.allowed;
    options.served_by_us = true;
    options.say = say;
    auto disk = PloopDisk::open(doors_, source_.descriptor, options);
    if (doors_.files.status(job_path(disk->path()), false)) {
        throw PloopError(Exit::bad_descriptor, ErrorCode::recovery,
                         fmt::format("An operation on {} did not come to its end, and cannot be finished while "
                                     "the disk is mounted. Unmount it and mount it again",
                                     disk->path()),
                         Reason::job_interrupted);
    }
    // Somebody may have changed it by other means while its disk was in use.
    const std::vector<Uuid> chain = disk->descriptor.chain(disk->descriptor.top);
    bool same = chain.size() == levels_.size();
    for (std::size_t i = 0; same && i < chain.size(); ++i) {
        const std::string path = disk->file_of(chain[i]);
        const std::optional<FileStatus> named = doors_.files.status(path);
        if (!named && path == levels_[i].path) {
            refuse_gone(path, device_->deltas()[i]->file().status());
        }
        same = chain[i] == levels_[i].uuid && named && named->same_file(device_->deltas()[i]->file().status());
    }
    if (!same) {
        throw PloopError(Exit::bad_descriptor, ErrorCode::damaged,
                         fmt::format("{} does not name the images that are mounted: it was changed meanwhile. "
                                     "Unmount the disk, and look which images belong to it",
                                     disk->path()),
                         Reason::image_in_use);
    }
    return disk;
}

void ServedDisk::adopt(const Descriptor& descriptor) {
    const std::vector<Uuid> chain = descriptor.chain(descriptor.top);
    if (chain.size() != levels_.size()) {
        throw std::logic_error(device_->name() + ": its descriptor has other images than its chain");
    }
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < chain.size(); ++i) {
        levels_[i].uuid = chain[i];
    }
}

void ServedDisk::change_lock(File& file, Access access, const Say& say) {
    try {
        ImageLock::release(file);
        lock_image(file, access);
    } catch (const Error& error) {
        say(fmt::format("Warning: {} is not locked any more: {}", file.path(), error.what()));
    }
}

Delta& ServedDisk::reopen_for_writing(std::size_t level) {
    const Delta& old = *device_->deltas()[level];
    const std::uint32_t raw_cluster_sectors = old.raw() ? old.header().cluster_sectors : 0;
    ChainDevice::Deltas fresh;
    ImageLock::release(old.file());
    try {
        fresh.push_back(open_level(levels_[level].path, Access::write, raw_cluster_sectors));
        fresh.back()->begin();
    } catch (...) {
        fresh.clear();
        change_lock(old.file(), Access::read, [](const std::string& line) { log(LogLevel::warning, line); });
        throw;
    }
    exchange(level, 1, std::move(fresh));
    return *device_->deltas()[level];
}

void ServedDisk::exchange(std::size_t first, std::size_t count, ChainDevice::Deltas others) {
    std::vector<Level> levels;
    for (const auto& delta : others) {
        levels.push_back({levels_[first].uuid, delta->path()});
    }
    ChainDevice::Deltas old; // closed when the pause is over
    {
        ChainDevice::Pause pause(*device_);
        old = pause.exchange(first, count, std::move(others));
    }
    const std::lock_guard lock(mutex_);
    const auto from = levels_.begin() + static_cast<std::ptrdiff_t>(first);
    levels_.insert(levels_.erase(from, from + static_cast<std::ptrdiff_t>(count)), levels.begin(),
                   levels.end());
}

std::exception_ptr ServedDisk::switch_over(DiskChange& change) {
    try {
        change.switch_over();
        return nullptr;
    } catch (const Error&) {
        if (!change.replaced()) {
            throw;
        }
        ChainDevice::Pause pause(*device_);
        owe_folder(pause, change.disk);
        return std::current_exception();
    }
}

/// Nothing that the guest flushes from now on counts as flushed before the descriptor's name is safe.
void ServedDisk::owe_folder(ChainDevice::Pause& pause, const PloopDisk& disk) const {
    pause.owe([&files = doors_.files, folder = directory_of(disk.path())] { files.sync_directory(folder); });
}

TrackingFile& ServedDisk::tracker() const {
    return dynamic_cast<TrackingFile&>(top().file());
}

std::uint64_t ServedDisk::free_clusters() const {
    return device_->holes();
}

void ServedDisk::close() {
    if (writable_) {
        device_->end();
    }
    for (const auto& delta : device_->deltas()) {
        ImageLock::release(delta->file());
    }
}

} // namespace disktool::ploop
