// SPDX-License-Identifier: LGPL-2.1-or-later
// Trying is the test: a KVM that does not work takes QEMU down within 0.1 s, or its guest stands still for
// ever, while the ioctls that would be an own check (KVM_CREATE_VM, KVM_CREATE_VCPU) succeed on such a host.
#include "engine/appliance/boot.h"

#include "engine/appliance/kvm_memory.h"

#include <disktool/doors.h>
#include <disktool/log.h>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace disktool {

namespace {

constexpr const char* settings_variable = "LIBGUESTFS_BACKEND_SETTINGS";
constexpr const char* emulation = "force_tcg";
constexpr const char* acceleration = "force_kvm"; // without it QEMU would fall back silently, in some cases

/// A KVM that works has booted in a few seconds.
constexpr std::chrono::seconds kvm_patience{20};

/// Of this run of the program; the library stays loaded.
std::atomic<bool> kvm_given_up{false};

void give_up_kvm(LogLevel level, const std::string& sentence) {
    if (!kvm_given_up.exchange(true))
        log(level, sentence);
}

/// None: it can be opened.
std::optional<std::string> why_no_kvm() {
    try {
        real_doors().files.open("/dev/kvm", {.write = true});
        return std::nullopt;
    } catch (const Error& error) {
        return error.what();
    }
}

} // namespace

Booted boot_machine(const ApplianceConfig& config, const Appliance::Disk& disk, const CancelToken* cancel) {
    using Acceleration = ApplianceConfig::Acceleration;
    const auto boot = [&](const char* setting) {
        return std::make_unique<Machine>(config, disk, setting, cancel);
    };
    if (const char* const settings = std::getenv(settings_variable))
        return {boot(""), std::strstr(settings, emulation) != nullptr || why_no_kvm()};
    if (config.acceleration == Acceleration::emulation)
        return {boot(emulation), true};
    if (config.acceleration == Acceleration::kvm)
        return {boot(acceleration), false};

    if (!kvm_given_up) {
        if (const std::optional<std::string> why = why_no_kvm())
            give_up_kvm(
                LogLevel::info,
                fmt::format("there is no KVM here: the appliance runs in software emulation ({})", *why));
    }
    const std::string memory = config.remembers_kvm ? kvm_memory_path() : "";
    std::optional<std::string> kvm_failure;
    if (!kvm_given_up) {
        if (const std::optional<std::string> why = remembered_kvm_failure(memory))
            give_up_kvm(LogLevel::info,
                        fmt::format("KVM did not work here a while ago ({}), so the appliance runs in software "
                                    "emulation; remove {} to have it tried again",
                                    *why, memory));
    }
    if (!kvm_given_up) {
        try {
            ApplianceConfig trial = config;
            trial.boot_timeout = std::min(config.boot_timeout, kvm_patience);
            return {std::make_unique<Machine>(trial, disk, acceleration, cancel), false};
        } catch (const BootFailure& failure) {
            kvm_failure = failure.why();
            give_up_kvm(LogLevel::warning,
                        fmt::format("The appliance does not start with KVM ({}): software emulation is used, "
                                    "which is several times slower",
                                    failure.why()));
        }
    }
    Booted booted{boot(emulation), true};
    // It was KVM's fault, and KVM had its time.
    if (kvm_failure && config.boot_timeout >= kvm_patience)
        remember_kvm_failure(memory, *kvm_failure);
    return booted;
}

} // namespace disktool
