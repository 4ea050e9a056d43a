// SPDX-License-Identifier: LGPL-2.1-or-later
// A ploop disk as a device.
#pragma once

#include "config.h"
#include "device_source.h"
#include "running_disk.h"

#include <memory>
#include <mutex>

namespace disktool::server {

class PloopSource final : public DeviceSource {
  public:
    /// Takes its values out of the configuration, finishes it, opens the disk.
    PloopSource(Doors doors, Config& config, const ploop::Say& say);

    BlockDevice& device() override;
    std::optional<WholeFile> whole_file() override;
    std::uint64_t discard_unit() const override;
    void describe(DeviceState& state) const override;
    std::map<std::string, DeviceRequest> requests(RunningDevice& device) override;
    void close() override { disk_->close(); }

  private:
    Doors doors_;
    ploop::RunningSource source_;
    std::unique_ptr<ploop::RunningDisk> disk_;
    std::mutex verbs_; ///< one at a time, also where a connection's end begins one
};

} // namespace disktool::server
