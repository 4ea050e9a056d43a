// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/appliance_trim.h"

#include <disktool/appliance.h>
#include <disktool/error.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace disktool {

namespace {

class ApplianceTrim : public Step {
  public:
    ApplianceTrim(std::uint64_t disk_size, std::vector<std::string> devices)
        : disk_size_(disk_size), devices_(std::move(devices)) {}

    std::string kind() const override { return "appliance.trim"; }
    std::string text() const override {
        return devices_.empty()
                   ? "boot the appliance and discard the free space of every file system in it"
                   : fmt::format("boot the appliance and discard the free space of the file system{} on {}",
                                 devices_.size() > 1 ? "s" : "", fmt::join(devices_, ", "));
    }
    std::string engine() const override { return "appliance"; }
    std::string needs_no_undo() const override {
        return "only a working state of the disk is changed, which becomes the image's own at one instant";
    }

    void commit(StepContext& context) override {
        Appliance& appliance = context.workbench().appliance();
        std::size_t trimmed = 0;
        std::string last_failure;
        for (const std::string& device : choose(appliance)) {
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
        context.report("filesystems_trimmed", trimmed);
        if (trimmed == 0) {
            throw Error(ErrorCode::unsupported,
                        last_failure.empty() ? "the appliance found no file system that it can mount"
                                             : last_failure,
                        Reason::filesystem_not_supported);
        }
        WorkCommit request;
        request.size = disk_size_;
        context.commit_work(request);
    }

  private:
    std::vector<std::string> choose(Appliance& appliance) const {
        if (!devices_.empty()) {
            return devices_;
        }
        std::vector<std::string> devices;
        for (const ApplianceFilesystem& filesystem : appliance.filesystems()) {
            // What cannot be mounted has no free space of its own to tell of.
            if (filesystem.type != "unknown" && filesystem.type != "swap" && !filesystem.type.empty()) {
                devices.push_back(filesystem.device);
            }
        }
        return devices;
    }

    std::uint64_t disk_size_;
    std::vector<std::string> devices_;
};

} // namespace

std::string appliance_device(const Content& content) {
    if (!content.volume.empty()) {
        return "/dev/" + content.volume;
    }
    return content.partition == 0 ? "/dev/sda" : fmt::format("/dev/sda{}", content.partition);
}

void plan_appliance_trim(Plan& plan, std::uint64_t disk_size, std::vector<std::string> devices) {
    plan.set_work({disk_size, {}});
    plan.add(std::make_unique<ApplianceTrim>(disk_size, std::move(devices)));
}

} // namespace disktool
