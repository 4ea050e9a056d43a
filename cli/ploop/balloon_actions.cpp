// SPDX-License-Identifier: LGPL-2.1-or-later
// The balloon of a mounted disk: looked at, changed, compared with what the image stores.
#include "balloon_space.h"
#include "command.h"
#include "header.h"
#include "maintenance.h"
#include "online_steps.h"
#include "online_verbs.h"
#include "stored_clusters.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace disktool::ploop::cli {

namespace {

void demand_mount(const RunningFilesystem& filesystem) {
    if (!filesystem.mounted()) {
        throw ParameterError("The image is not mounted");
    }
}

} // namespace

int balloon_show(const Options& options, RunningFilesystem& filesystem) {
    demand_mount(filesystem);
    const std::uint64_t size = BalloonFile(filesystem.mount_point).size();
    options.output->result(fmt::format("Current size of hidden balloon is {} bytes\n", size));
    options.output->json()["balloon"] = size;
    return 0;
}

int balloon_status(const Options& options, RunningFilesystem& filesystem) {
    const std::string state = Maintenance::present(filesystem.device.minor).value_or("OFF");
    options.output->result(fmt::format("Current state of in-kernel maintenance: {}\n", state));
    options.output->json()["maintenance"] = state;
    return 0;
}

int balloon_clear(const Options& options, RunningFilesystem& filesystem) {
    if (const std::optional<std::string> state = Maintenance::present(filesystem.device.minor)) {
        throw PloopError(Exit::busy, ErrorCode::locked,
                         fmt::format("Can't clear the state of {}: it is not stale, {} is at work",
                                     filesystem.device.node, *state),
                         Reason::image_in_use);
    }
    options.output->say("Nothing to clear: what a command has begun ends with it");
    return 0;
}

int balloon_complete(const Options& options, RunningFilesystem& filesystem) {
    const std::string state = Maintenance::present(filesystem.device.minor).value_or("OFF");
    options.output->say(fmt::format("Nothing to complete: kernel is in \"{}\" state", state));
    return 0;
}

int balloon_change(const Options& options, RunningFilesystem& filesystem, std::uint64_t sectors) {
    demand_mount(filesystem);
    filesystem.refuse_read_only();
    const std::uint64_t size = sectors * sector_size;
    const BalloonSpace space = balloon_space(filesystem);
    if (size > space.balloon + space.free) {
        throw PloopError(
            Exit::allocate, ErrorCode::no_space,
            fmt::format("The file system at {} has no room for a balloon of {} bytes; {} is the most",
                        filesystem.mount_point, size, space.balloon + space.free));
    }
    std::optional<Maintenance> maintenance;
    if (!options.dry_run) {
        maintenance.emplace(filesystem.device.minor, "BALLOON");
    }
    const RunningImage image = running_image(filesystem.device);
    Plan plan("balloon change", filesystem.name());
    if (size > space.balloon) {
        plan_inflation(plan, filesystem, image, balloon_step(filesystem, size));
    } else {
        plan.add(balloon_step(filesystem, size));
    }
    return carry_out(options, plan);
}

int balloon_check(const Options& options, RunningFilesystem& filesystem, bool repair) {
    demand_mount(filesystem);
    const BalloonFile balloon(filesystem.mount_point);
    const std::uint64_t size = balloon.size();
    Output& output = *options.output;
    if (size == 0) {
        output.say("Nothing to do: hidden balloon is empty");
        return 0;
    }
    const RunningImage image = running_image(filesystem.device);
    const std::optional<std::uint64_t> stored = stored_below_balloon(filesystem, image, balloon);
    const std::uint64_t missing = size - std::min(size, balloon.allocated());
    output.json()["balloon"] = size;
    output.json()["clusters_stored"] = stored ? Json(*stored) : Json(nullptr);
    output.json()["bytes_missing"] = missing;
    if (stored) {
        output.say(fmt::format("{} clusters of the image hold what only the balloon covers", *stored));
    } else {
        output.say(fmt::format(
            "{} does not tell where the balloon lies on the device, so the clusters below it cannot be "
            "counted",
            filesystem.type));
    }
    if (missing > 0) {
        output.say(fmt::format("{} bytes of the balloon are not reserved", missing));
    }
    if (stored && *stored == 0 && missing == 0) {
        output.say("Nothing to do");
        return 0;
    }
    if (repair) {
        filesystem.refuse_read_only();
        refuse_unserved(filesystem, image);
    } else {
        output.say("ploop balloon repair puts that right");
        return 0;
    }
    std::optional<Maintenance> maintenance;
    if (!options.dry_run) {
        maintenance.emplace(filesystem.device.minor, "BALLOON");
    }
    Plan plan("balloon repair", filesystem.name());
    plan.add(repair_balloon_step(filesystem, size, image));
    if (!image.raw) {
        plan.add(compact_step(filesystem, image.cluster));
    }
    return carry_out(options, plan);
}

} // namespace disktool::ploop::cli
