// SPDX-License-Identifier: LGPL-2.1-or-later
#include "balloon_space.h"
#include "carry_out.h"
#include "errors.h"
#include "header.h"
#include "maintenance.h"
#include "online_steps.h"
#include "running_verbs.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <optional>

namespace disktool::ploop::cli {

namespace {

void show_sizes(const Options& options, const RunningFilesystem& filesystem) {
    struct statvfs space {};
    if (statvfs(filesystem.mount_point.c_str(), &space) != 0) {
        throw SystemError("Cannot learn the size of", filesystem.mount_point, errno);
    }
    const std::uint64_t balloon = BalloonFile(filesystem.mount_point).size();
    const std::uint64_t disk = device_size(filesystem.device.node);
    const std::uint64_t shown = disk - std::min(disk, balloon);
    const std::uint64_t free = std::uint64_t{space.f_bfree} * space.f_frsize;
    const std::uint64_t data = shown - std::min(shown, free);
    std::uint64_t images = 0;
    for (const DeviceImage& image : filesystem.device.images) {
        images += real_doors().files.status(image.path).value_or(FileStatus{}).allocated;
    }
    options.output->result(
        fmt::format("Balloon size: {:8}MB\nData size:    {:8}MB\nPloop size:   {:8}MB\nImage size:   "
                    "{:8}MB\n",
                    balloon / MiB, data / MiB, shown / MiB, images / MiB));
    options.output->json()["sizes"] = {
        {"balloon", balloon}, {"data", data}, {"disk", shown}, {"images", images}};
}

std::uint64_t allocated(const RunningImage& image) {
    return real_doors().files.status(image.path).value_or(FileStatus{}).allocated;
}

} // namespace

int discard_running(const Options& options, RunningFilesystem& filesystem, const DiscardOptions& request) {
    if (!filesystem.mounted() && !request.automount) {
        throw ParameterError(
            "Unable to discard: image is not mounted. With --automount it is, for as long as this "
            "takes");
    }
    if (request.stat) {
        const TemporaryMount mount(filesystem);
        show_sizes(options, filesystem);
        return 0;
    }
    const RunningImage image = running_image(filesystem.device);
    refuse_unserved(filesystem, image);
    filesystem.refuse_read_only();
    if (request.to_free_sectors != 0 && request.to_free_sectors * sector_size < image.cluster) {
        throw ParameterError(fmt::format("--to-free is less than a cluster of {}", size_text(image.cluster)));
    }
    std::optional<Maintenance> maintenance;
    std::optional<TemporaryMount> mount;
    if (!options.dry_run) {
        maintenance.emplace(filesystem.device.minor, "DISCARD");
        mount.emplace(filesystem);
    }
    Plan plan("balloon discard", filesystem.name());
    if (request.defrag) {
        plan.add(defragment_step(filesystem, image.cluster));
    }
    plan.add(trim_step(filesystem, {.cluster = image.cluster,
                                    .smallest = request.min_block_sectors * sector_size,
                                    .enough = request.to_free_sectors * sector_size,
                                    .raw = image.raw}));
    if (!image.raw) {
        plan.add(compact_step(filesystem, image.cluster));
    }
    const std::uint64_t before = allocated(image);
    carry_out(options, plan);
    if (options.dry_run) {
        return 0;
    }
    if (image.raw) {
        const std::uint64_t now = allocated(image);
        const std::uint64_t punched = before - std::min(before, now);
        filesystem.say(fmt::format("PUNCHED: {} cluster-blocks ({} bytes)", punched / image.cluster, punched));
        options.output->json()["bytes_cut"] = punched;
        return 0;
    }
    const Json& figures = options.output->json()["figures"];
    filesystem.say(
        fmt::format("{} clusters have been relocated", figures.value("clusters_moved", std::uint64_t{0})));
    options.output->json()["bytes_cut"] = figures.value("bytes_cut", std::uint64_t{0});
    return 0;
}

} // namespace disktool::ploop::cli
