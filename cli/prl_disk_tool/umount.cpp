// SPDX-License-Identifier: LGPL-2.1-or-later
// umount: what is mounted of a disk, then its devices.
#include "ask_device.h"
#include "command.h"
#include "device/device_users.h"
#include "device_steps.h"
#include "mount_table.h"
#include "running.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace disktool::cli {

namespace {

using ploop::cli::MountPoint;

class UnmountStep final : public Step {
  public:
    UnmountStep(Run& run, MountPoint point) : run_(run), point_(std::move(point)) {}
    std::string kind() const override { return "device.unmount"; }
    std::string text() const override { return fmt::format("unmount {} from {}", point_.source, point_.path); }
    std::string needs_no_undo() const override { return "an unmounted file system is whole"; }
    void commit(StepContext&) override {
        ploop::cli::unmount(point_, {});
        run_.say(fmt::format("{} is unmounted", point_.path));
    }

  private:
    Run& run_;
    MountPoint point_;
};

std::vector<DeviceState> devices_meant(const Run& run) {
    const Arguments& arguments = run.arguments();
    std::vector<DeviceState> devices;
    if (!arguments.image.empty()) {
        const std::optional<FileStatus> status = real_doors().files.status(arguments.image);
        if (!status) {
            throw Error(ErrorCode::not_found, fmt::format("{} does not exist", arguments.image));
        }
        devices = devices_of_disk(*status);
    } else if (std::optional<DeviceState> device = ploop::cli::device_at(arguments.mount_point)) {
        devices.push_back(std::move(*device));
    }
    if (devices.empty()) {
        throw Error(ErrorCode::not_found,
                    fmt::format("{} is not mounted by prl_disk_tool{}",
                                arguments.image.empty() ? arguments.mount_point : arguments.image,
                                who_has_it(run)));
    }
    return devices;
}

/// What the steps would be refused for now. Someone may be looking at the device for a moment.
void refuse_in_use(const std::vector<DeviceState>& devices, const std::vector<MountPoint>& points) {
    constexpr std::chrono::seconds patience{2};
    ploop::cli::until_unlocked(std::chrono::steady_clock::now() + patience, nullptr, [&] {
        for (const MountPoint& point : points) {
            ploop::cli::refuse_unmount(point, points);
        }
        for (const DeviceState& device : devices) {
            for (const DeviceOpener& opener : openers_of(ploop::cli::device_numbers_of(device))) {
                if (opener.pid != device.pid) {
                    throw Error(ErrorCode::locked,
                                fmt::format("{} cannot be taken away, it is in use: open in {} (process {})",
                                            device.node, opener.program, opener.pid),
                                Reason::image_in_use);
                }
            }
        }
    });
}

} // namespace

void run_umount(Run& run) {
    require_root();
    const std::vector<DeviceState> devices = devices_meant(run);
    // Of all its devices: one may be mounted over another.
    std::vector<MountPoint> points = ploop::cli::mount_points_of(devices);
    std::reverse(points.begin(), points.end());
    if (run.arguments().dry_run) {
        refuse_in_use(devices, points);
    }
    Plan plan("umount", devices.front().disk);
    for (const MountPoint& point : points) {
        plan.add(std::make_unique<UnmountStep>(run, point));
    }
    for (const DeviceState& device : devices) {
        plan.add(device.alive ? stop_step(run, device) : clear_step(run, device));
        run.json()["device"] = device.node;
    }
    act_on_devices(run, plan);
}

} // namespace disktool::cli
