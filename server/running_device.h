// SPDX-License-Identifier: LGPL-2.1-or-later
// A device as others see it: number, block device, partitions, nodes, state file. It knows nothing of formats.
#pragma once

#include "device/device_state.h"
#include "device_backend.h"
#include "device_options.h"
#include "device_source.h"
#include "freezer_process.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

namespace disktool::server {

/// Whatever is made here is named in the state file before it is there, so that a kill at any moment leaves
/// only what remove_dead_device() finds. Threads: state(), status(), freeze() and thaw() any; the rest one at a
/// time.
///
/// No descriptor of the block device stays open: see LoopDevice. `source` and `freezer` must outlive it.
class RunningDevice {
  public:
    /// What was done is taken back when it throws.
    static std::unique_ptr<RunningDevice> start(DeviceSource& source, const DeviceOptions& options,
                                                std::unique_ptr<DeviceNumber> number, FreezerProcess& freezer);
    RunningDevice(const RunningDevice&) = delete;
    RunningDevice& operator=(const RunningDevice&) = delete;
    ~RunningDevice(); ///< without stop(): takes down what it can, without asking

    DeviceState state() const;
    /// The state, the size, and what was served.
    ControlMessage status() const;
    bool serves() const { return served().serves(); } ///< as DeviceBackend
    /// The file systems on it are frozen until thaw() has been called as often.
    std::vector<DeviceMount> freeze();
    void thaw() noexcept;

    /// The source's describe() says something else now: stored.
    void describe_anew();
    /// Throws Error(unsupported) where the device cannot follow, before anything has changed.
    void require_growable() const;
    /// The source has another size now. Returns what the kernel says, bytes.
    std::uint64_t follow_size();
    /// Reads the partition table that the block device shows and tells the kernel. Throws Error(locked) where a
    /// partition that is in use would have to move. A table that is damaged means no partitions, and a warning.
    std::vector<DevicePartition> read_partitions();
    /// Who uses it: in words; empty: nobody.
    std::string users() const;
    /// Throws Error(locked), and nothing has changed, while somebody uses it. Else it is gone, and the source
    /// closed. Returns what went wrong with that, in a sentence; empty: nothing.
    std::string stop();
    bool stopped() const { return stopped_; }

  private:
    RunningDevice(DeviceSource& source, const DeviceOptions& options, std::unique_ptr<DeviceNumber> number,
                  FreezerProcess& freezer);
    void store();
    void attach();
    void make_node();
    void make_nodes(const std::vector<DevicePartition>& partitions);
    void store_partitions(const std::vector<DevicePartition>& partitions);
    DeviceBackend& served() const; ///< Error(not_found) once it is stopped
    void refuse_users() const;
    void refuse_openers(const std::vector<std::uint64_t>& numbers) const;
    std::vector<std::uint64_t> numbers() const;
    std::string take_down(); ///< the problem with closing the source

    DeviceSource& source_;
    const DeviceOptions options_;
    std::unique_ptr<DeviceNumber> number_;
    std::string node_;         ///< as it is since start()
    mutable std::mutex mutex_; ///< of state_
    DeviceState state_;
    mutable std::shared_mutex serving_; ///< of the pointer: exclusive for taking it away
    std::unique_ptr<DeviceBackend> backend_, ended_;
    FreezerProcess& freezer_;
    bool stopped_ = false;
};

} // namespace disktool::server
