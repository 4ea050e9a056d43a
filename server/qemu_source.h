// SPDX-License-Identifier: LGPL-2.1-or-later
// An image that QEMU reads and writes (qcow2), as a device.
#pragma once

#include "config.h"
#include "device_source.h"
#include "engine/qemu.h"

#include <disktool/doors.h>

#include <memory>
#include <string>
#include <vector>

namespace disktool::server {

/// Configuration: `image` (absolute), `format`, `chain` (its files, the image first; for others to know), and
/// `read_only`. Nothing guesses the format, and whoever wrote the configuration has seen to it that the backing
/// files may be opened.
///
/// qemu-nbd serves it through several connections, so that many requests are on their way at once (its FUSE
/// export mixes up the data of writes that are: docs/ploop-devices.md). QEMU holds its own locks on the image
/// as long as this lives; ours (flock) is taken besides.
class QemuSource final : public DeviceSource {
  public:
    QemuSource(Doors doors, Config& config);

    BlockDevice& device() override { return *device_; }
    std::optional<WholeFile> whole_file() override { return std::nullopt; }
    /// QEMU may leave a part of a cluster as it was: holes are written as zeros, which it records without
    /// storing.
    std::uint64_t discard_unit() const override { return 0; }
    void describe(DeviceState& state) const override;
    std::map<std::string, DeviceRequest> requests(RunningDevice&) override { return {}; }
    void close() override { device_->close(); }

  private:
    Doors doors_;
    std::string image_, format_;
    std::vector<std::string> chain_;
    bool read_only_ = false;
    std::unique_ptr<File> locked_;
    std::unique_ptr<NbdDevice> device_;
};

} // namespace disktool::server
