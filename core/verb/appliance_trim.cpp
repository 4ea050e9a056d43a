// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/appliance_trim.h"

#include <disktool/appliance.h>
#include <disktool/error.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace disktool {

namespace {

std::string device_of(int partition) {
    return partition == 0 ? "/dev/sda" : fmt::format("/dev/sda{}", partition);
}

class ApplianceTrim : public Step {
  public:
    ApplianceTrim(Session& session, std::vector<int> partitions)
        : session_(session), partitions_(std::move(partitions)) {}

    std::string kind() const override { return "appliance.trim"; }
    std::string text() const override {
        if (partitions_.empty()) {
            return "boot the appliance and discard the free space of every file system in it";
        }
        if (partitions_ == std::vector<int>{0}) {
            return "boot the appliance and discard the free space of the file system on the whole disk";
        }
        return fmt::format(
            "boot the appliance and discard the free space of the file system{} on partition{} {}",
            partitions_.size() > 1 ? "s" : "", partitions_.size() > 1 ? "s" : "", fmt::join(partitions_, ", "));
    }
    std::string engine() const override { return "appliance"; }
    std::string needs_no_undo() const override {
        return "only space that the file system itself calls free is discarded";
    }

    void commit(StepContext& context) override {
        // While QEMU in the appliance has the image open, it must be able to take its own locks. Not by a
        // destructor: to find that someone came in between is an error.
        context.lend_image_to_child();
        try {
            trim(context);
        } catch (...) {
            context.take_image_back();
            throw;
        }
        context.take_image_back();
    }

  private:
    void trim(StepContext& context) {
        Appliance& appliance = context.appliance();
        appliance.launch({session_.path(), session_.image().info().format, false}, &context.cancel());
        std::vector<std::string> devices = choose(appliance);
        std::size_t trimmed = 0;
        std::string last_failure;
        for (const std::string& device : devices) {
            context.cancel().check();
            try {
                appliance.trim(device);
                ++trimmed;
            } catch (const Error& error) {
                last_failure =
                    fmt::format("the appliance could not discard free space on {}: {}", device, error.what());
                context.warn(last_failure);
            }
        }
        appliance.shut_down();
        context.report("filesystems_trimmed", trimmed);
        if (trimmed == 0) {
            throw Error(ErrorCode::unsupported,
                        last_failure.empty() ? "the appliance found no file system that it can mount"
                                             : last_failure,
                        Reason::filesystem_not_supported);
        }
    }

    std::vector<std::string> choose(Appliance& appliance) const {
        std::vector<std::string> devices;
        if (!partitions_.empty()) {
            std::transform(partitions_.begin(), partitions_.end(), std::back_inserter(devices), device_of);
            return devices;
        }
        for (const ApplianceFilesystem& filesystem : appliance.filesystems()) {
            // What cannot be mounted has no free space of its own to tell of.
            if (filesystem.type != "unknown" && filesystem.type != "swap" && !filesystem.type.empty()) {
                devices.push_back(filesystem.device);
            }
        }
        return devices;
    }

    Session& session_;
    std::vector<int> partitions_;
};

} // namespace

std::unique_ptr<Step> make_appliance_trim(Session& session, std::vector<int> partitions) {
    return std::make_unique<ApplianceTrim>(session, std::move(partitions));
}

} // namespace disktool
