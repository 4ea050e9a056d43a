// SPDX-License-Identifier: LGPL-2.1-or-later
// resize --info and compact --info of a disk that runs. Nothing is changed. What is mounted tells its figures
// by statvfs(3): on the device they are old, and its journal is open. The rest is read from the block device.
#include "balloon_space.h"
#include "mount_table.h"
#include "node_device.h"
#include "running.h"
#include "verb/disk_minimum.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>

namespace disktool::cli {

namespace {

using ploop::cli::clusters_around;
using ploop::cli::RunningFilesystem;
using ploop::cli::RunningImage;

FileStatus status_of(const std::string& path) {
    return real_doors().files.status(path).value_or(FileStatus{});
}

FilesystemUsage usage_at(const std::string& mount_point) {
    struct statvfs space {};
    if (statvfs(mount_point.c_str(), &space) != 0) {
        throw SystemError("Cannot learn the size of", mount_point, errno, SystemCall::stat);
    }
    FilesystemUsage usage;
    usage.size = std::uint64_t{space.f_blocks} * space.f_frsize;
    usage.free = std::uint64_t{space.f_bfree} * space.f_frsize;
    usage.block_size = static_cast<std::uint32_t>(space.f_frsize);
    return usage;
}

/// The number of the partition that is mounted there; 0: the whole device.
int partition_of(const DeviceState& device, const ploop::cli::MountPoint& point) {
    const auto found = std::ranges::find(device.partitions, point.source, &DevicePartition::node);
    return found == device.partitions.end() ? 0 : found->number;
}

/// What is mounted is in order as far as its own driver knows, whatever its place on the device looks like.
void ask_mounts(DiskSurvey& survey, const DeviceState& device) {
    for (const ploop::cli::MountPoint& point : ploop::cli::mount_points_of(device)) {
        const auto content =
            std::ranges::find(survey.contents, partition_of(device, point), &Content::partition);
        if (content == survey.contents.end()) {
            continue;
        }
        const std::optional<FilesystemUsage> old = std::move(content->usage);
        content->usage = usage_at(point.path);
        if (old) {
            content->usage->label = old->label;
            content->usage->uuid = old->uuid;
        }
        content->type = point.filesystem;
        content->state = {.sentence = "mounted at " + point.path};
        content->problem.reset();
        content->minimum.reset();
    }
}

DiskSurvey survey_device(Run& run, ploop::cli::NodeDevice& disk, const DeviceState& device, bool minimum) {
    disk.flush(); // others have written by other nodes
    DiskSurvey survey = survey_disk(disk, run.registry(), {.minimum_sizes = minimum});
    ask_mounts(survey, device);
    return survey;
}

void set_minimum(ResizeInfo& info, const RunningFilesystem& filesystem, std::uint64_t cluster) {
    std::uint64_t least = info.size;
    if (filesystem.mounted()) {
        least = ploop::cli::balloon_space(filesystem).smallest_disk(cluster);
        info.minimum_because = "a balloon in the mounted file system can take no more: it needs the rest";
    } else if (const auto content =
                   std::ranges::find(info.survey.contents, filesystem.partition, &Content::partition);
               content != info.survey.contents.end() && content->minimum && filesystem.is_ext()) {
        least = round_up(content->minimum->bytes, cluster) + clusters_around * cluster;
        info.minimum_because = content->minimum->sentence;
    } else {
        info.last_is_fixed = true;
        info.minimum_because =
            "only what is mounted, or an ext file system, can be made smaller on a disk that runs";
    }
    info.minimum = std::min(least, info.size);
}

/// Bytes of clusters that the top holds, and of those that it holds for nothing.
struct Held {
    std::uint64_t stored = 0, unused = 0;
};
Held held_by(const DeviceState& device, const RunningImage& image) {
    const FileStatus status = status_of(image.path);
    if (image.raw || !image.served) {
        return {status.allocated, 0};
    }
    Held held;
    // While another verb is at work there is no such number.
    held.unused = ploop::cli::device_status(device).value("free_clusters", std::uint64_t{0}) * image.cluster;
    held.stored = status.size - std::min(status.size, image.cluster + held.unused);
    return held;
}

void set_estimate(CompactInfo& info, const RunningFilesystem& filesystem, const RunningImage& image) {
    if (!image.served) {
        info.why_no_estimate = fmt::format("{} lies straight on the file of its image, which keeps all its "
                                           "clusters while it runs: compact it at rest, or mount it with "
                                           "--backend fuse",
                                           filesystem.device.node);
        return;
    }
    const Held held = held_by(filesystem.device, image);
    // What counts as used may never have been written (inode tables, the journal), so it tells no more than
    // this.
    std::uint64_t most = std::min(held.stored, info.size - info.used);
    if (!filesystem.mounted()) {
        most = 0;
        info.why_no_estimate = fmt::format("the file system on {} is not mounted, so nobody would give its "
                                           "free space back: mount it, or compact the disk at rest",
                                           filesystem.node);
    }
    CompactEstimate estimate;
    estimate.allocated = status_of(image.path).allocated;
    estimate.clusters = most / image.cluster;
    estimate.leaked = held.unused;
    estimate.reclaimable = std::min(estimate.allocated, most / image.cluster * image.cluster + held.unused);
    info.estimate = estimate;
}

std::string place_text(const RunningFilesystem& filesystem) {
    return filesystem.device.node +
           (filesystem.mounted() ? fmt::format(" and is mounted at {}", filesystem.mount_point) : "");
}

} // namespace

void describe_device(Run& run, const RunningFilesystem& filesystem) {
    const DeviceState& device = filesystem.device;
    run.json()["device"] = {
        {"node", device.node},
        {"filesystem", filesystem.type},
        {"filesystem_node", filesystem.node},
        {"mount_point", filesystem.mounted() ? Json(filesystem.mount_point) : Json(nullptr)}};
    Json chain = Json::array();
    for (auto image = device.images.rbegin(); image != device.images.rend(); ++image) {
        chain.push_back({{"path", image->path}, {"allocated", status_of(image->path).allocated}});
    }
    const FileStatus top = status_of(device.images.back().path);
    run.json()["image"] = {{"path", device.images.back().path},
                           {"format", device.format},
                           {"virtual_size", ploop::cli::device_size(device.node)},
                           {"allocated", top.allocated},
                           {"file_size", top.size},
                           {"cluster_size", ploop::cli::running_image(device).cluster},
                           {"chain", chain}};
}

void resize_info_on_device(Run& run, const DeviceState& device) {
    DeviceWork work(run);
    const RunningFilesystem filesystem = work.filesystem(device);
    describe_device(run, filesystem);
    ploop::cli::NodeDevice disk(real_doors().files.open(device.node, {}));
    ResizeInfo info;
    info.survey = survey_device(run, disk, device, !filesystem.mounted());
    info.size = disk.size();
    set_minimum(info, filesystem, ploop::cli::running_image(device).cluster);
    const DiskMinimum without_last = minimum_without_resize(info.survey, info.size);
    info.minimum_without_last = without_last.bytes;
    info.minimum_without_last_because = without_last.because;
    run.json()["disk"] = survey_json(info.survey);
    run.json()["resize"] = resize_info_json(info);
    say_resize_info(run, info);
    run.warn(
        fmt::format("{} runs as {}: the minimum is what \"resize --size\" can leave of it {}. The disk "
                    "itself only gets smaller at rest",
                    run.arguments().image, place_text(filesystem),
                    filesystem.mounted() ? "by a balloon in the file system" : "by a smaller file system"));
}

void compact_info_on_device(Run& run, const DeviceState& device) {
    DeviceWork work(run);
    const RunningFilesystem filesystem = work.filesystem(device);
    describe_device(run, filesystem);
    const RunningImage image = ploop::cli::running_image(device);
    ploop::cli::NodeDevice disk(real_doors().files.open(device.node, {}));
    CompactInfo info;
    info.survey = survey_device(run, disk, device, false);
    info.size = disk.size();
    info.allocated = status_of(image.path).allocated;
    info.used = info.size;
    info.survey.each([&](const Content& content) {
        if (content.usage) {
            info.used -= std::min(info.used, content.usage->free);
        }
    });
    set_estimate(info, filesystem, image);
    run.json()["disk"] = survey_json(info.survey);
    run.json()["compact"] = compact_info_json(info);
    say_compact_info(run, info);
    if (!info.why_no_estimate.empty()) {
        run.warn(info.why_no_estimate);
    }
    if (info.estimate && filesystem.mounted()) {
        run.warn(fmt::format("{} runs as {}: what can be freed is an upper bound, as free space counts only "
                             "where it fills whole clusters of {}",
                             run.arguments().image, place_text(filesystem), size_text(image.cluster)));
    }
}

} // namespace disktool::cli
