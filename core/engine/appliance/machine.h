// SPDX-License-Identifier: LGPL-2.1-or-later
// One booted virtual machine of libguestfs.
#pragma once

#include "config/config.h"
#include "engine/appliance/guestfs_handle.h"
#include "engine/appliance/watchdog.h"

#include <disktool/appliance.h>
#include <disktool/error.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace disktool {

/// It did not come up, and neither the disk nor a missing package is the reason.
class BootFailure : public Error {
  public:
    explicit BootFailure(const std::string& why);
    ~BootFailure() override;

    const std::string& why() const { return why_; } ///< the machine's own words, or libguestfs's

  private:
    std::string why_;
};

class Machine {
  public:
    /// Boots. `setting` is a backend setting of libguestfs ("force_kvm", "force_tcg"); empty leaves them as the
    /// environment has them. Throws BootFailure; program_missing, naming what is missing; locked; failure for a
    /// disk that QEMU cannot open; interrupted.
    Machine(const ApplianceConfig& config, const Appliance::Disk& disk, const std::string& setting,
            const CancelToken* cancel);
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    guestfs_h* guestfs() const { return handle_.get(); }
    bool read_only() const { return disk_.read_only; }
    /// Did the call `call` go well? While it runs, a cancelled token ends the machine if nothing can be lost by
    /// that: its disk is read-only. Throws Error(interrupted) when it came to that.
    bool try_call(const std::function<bool(guestfs_h*)>& call);
    /// As try_call; a failing one is Error(failure): "The appliance cannot <action>: <why>".
    void call(std::string_view action, const std::function<bool(guestfs_h*)>& call);
    std::string last_error() const;

  private:
    void check_cancelled() const;
    void configure(const ApplianceConfig& config, const std::string& setting);
    void add_disk();
    void launch(std::chrono::seconds limit);
    /// Throws what fits. `of_disk`: it is the disk that QEMU complains of.
    [[noreturn]] void explain_failed_boot(const std::string& why, bool of_disk) const;
    static void hear(guestfs_h*, void* self, std::uint64_t, int, int, const char* text, std::size_t length,
                     const std::uint64_t*, std::size_t) noexcept;

    const Appliance::Disk disk_;
    const CancelToken* cancel_;
    std::string console_;  ///< its last words
    Descriptor process_;   ///< QEMU
    GuestfsHandle handle_; ///< last: closing it may still call hear()
};

} // namespace disktool
