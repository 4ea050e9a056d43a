// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device_steps.h"

#include "ask_device.h"
#include "device/device_users.h"
#include "mount_table.h"
#include "plan/plan_text.h"
#include "plan/run_plan.h"

#include <disktool/error.h>

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

namespace disktool::cli {

namespace {

void clear_away(Run& run, const DeviceState& device) {
    const std::vector<std::uint64_t> numbers = ploop::cli::device_numbers_of(device);
    if (!ploop::cli::clear_dead_device(device)) {
        throw Error(ErrorCode::locked,
                    fmt::format("{}, whose process has died, cannot be taken away, it is in use: {}",
                                device.node, users_of(device.loop, numbers)),
                    Reason::image_in_use);
    }
    if (!device.read_only) {
        run.warn(fmt::format("The process of {} had died: what was not flushed to {} then is lost", device.node,
                             device.disk));
    }
}

class ClearStep final : public Step {
  public:
    ClearStep(Run& run, DeviceState device) : run_(run), device_(std::move(device)) {}
    std::string kind() const override { return "device.clear"; }
    std::string text() const override {
        return fmt::format("clear away {}, whose process has died", device_.node);
    }
    std::string needs_no_undo() const override { return "nobody serves the device any more"; }
    void commit(StepContext&) override { clear_away(run_, device_); }

  private:
    Run& run_;
    DeviceState device_;
};

class StopStep final : public Step {
  public:
    StopStep(Run& run, DeviceState device) : run_(run), device_(std::move(device)) {}
    std::string kind() const override { return "device.stop"; }
    std::string text() const override {
        return fmt::format("stop {} and close {}", device_.node, device_.disk);
    }
    std::string needs_no_undo() const override { return "the image is closed in order"; }
    void commit(StepContext&) override {
        try {
            stop_device(device_);
        } catch (const Error&) {
            if (!ploop::cli::has_died(device_)) {
                throw;
            }
            clear_away(run_, device_); // killed after the look at it
        }
    }

  private:
    Run& run_;
    DeviceState device_;
};

} // namespace

void require_root() {
    if (geteuid() != 0) {
        throw Error(ErrorCode::not_found, "Devices and mounts are root's: run it as root");
    }
}

void stop_device(const DeviceState& device) {
    // Again for a while: udev looks at new devices.
    ploop::cli::until_unlocked(std::chrono::steady_clock::now() + ploop::cli::stop_patience, nullptr,
                               [&] { ControlClient::connect(device_file(device.minor, "sock"))->ask("stop"); });
}

std::unique_ptr<Step> clear_step(Run& run, const DeviceState& device) {
    return std::make_unique<ClearStep>(run, device);
}

std::unique_ptr<Step> stop_step(Run& run, const DeviceState& device) {
    return std::make_unique<StopStep>(run, device);
}

void act_on_devices(Run& run, Plan& plan) {
    if (run.arguments().dry_run) {
        print_plan(run, plan);
        return;
    }
    if (run.arguments().verbose) {
        std::fputs(plan_text(plan).c_str(), stderr);
    }
    run.json()["plan"] = plan_json(plan);
    for (const std::string& warning : run_plan(plan, real_doors(), &run.cancel(), {}).warnings) {
        run.warn(warning);
    }
}

} // namespace disktool::cli
