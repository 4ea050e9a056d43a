// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ploop_source.h"

#include "ploop_requests.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace disktool::server {

namespace {

constexpr std::uint64_t sector = 512;

ploop::RunningSource source_of(Config& config) {
    ploop::RunningSource source;
    source.descriptor = config.path("descriptor");
    if (const std::string uuid = config.text("uuid"); !uuid.empty()) {
        source.uuid = ploop::Uuid::parse(uuid);
        if (!source.uuid) {
            throw Error(ErrorCode::usage, fmt::format("The configuration's \"uuid\" is no uuid: {}", uuid));
        }
    }
    source.images = config.paths("images");
    source.raw_base = config.flag("raw");
    source.raw_cluster_sectors = static_cast<std::uint32_t>(
        config.number("cluster", 1, UINT32_MAX).value_or(ploop::default_cluster_sectors));
    source.read_only = config.flag("read_only");
    source.allowed = config.paths("allowed");
    if (source.descriptor.empty() == source.images.empty() || (source.uuid && source.descriptor.empty())) {
        throw Error(ErrorCode::usage,
                    "The configuration must name either a descriptor or images, and a uuid only "
                    "with a descriptor");
    }
    return source;
}

} // namespace

PloopSource::PloopSource(Doors doors, Config& config, const ploop::Say& say)
    : doors_(doors), source_(source_of(config)) {
    config.finish();
    disk_ = ploop::RunningDisk::open(doors_, source_, say);
}

BlockDevice& PloopSource::device() {
    return disk_->device();
}

std::optional<WholeFile> PloopSource::whole_file() {
    const std::optional<ploop::WholeRun> run = disk_->whole_run();
    if (!run) {
        return std::nullopt;
    }
    // A raw image is the disk and nothing else. Neither it nor a preallocated one is to get holes: its room on
    // the host is reserved, and checks take holes for damage.
    const std::optional<FileStatus> status = doors_.files.status(run->path);
    const bool to_end = run->range.offset == 0 && status && status->size == run->range.length;
    return WholeFile{run->path, run->range, to_end, false};
}

std::uint64_t PloopSource::discard_unit() const {
    return disk_->cluster_sectors() * sector;
}

void PloopSource::describe(DeviceState& state) const {
    state.format = "ploop";
    state.descriptor = source_.descriptor;
    state.read_only = disk_->read_only();
    state.snapshot = source_.descriptor.empty() ? std::string{} : disk_->uuid().text();
    const std::vector<DeviceImage> before = std::exchange(state.images, {});
    for (const std::string& path : disk_->images()) {
        DeviceImage image{path, 0, 0};
        if (const std::optional<FileStatus> status = doors_.files.status(path)) {
            image = {path, status->device, status->inode};
        } else { // deleted meanwhile, it is still the file that we have open
            const auto known = std::ranges::find(before, path, &DeviceImage::path);
            image = known == before.end() ? image : *known;
        }
        state.images.push_back(std::move(image));
    }
    state.disk =
        !source_.descriptor.empty() || state.images.empty() ? source_.descriptor : state.images.back().path;
}

std::map<std::string, DeviceRequest> PloopSource::requests(RunningDevice& device) {
    return ploop_requests(*disk_, device, verbs_);
}

} // namespace disktool::server
