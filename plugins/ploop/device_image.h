// SPDX-License-Identifier: LGPL-2.1-or-later
// A block device with a table or file system on it, as the core sees it for `ploop resize DEVICE`.
#pragma once

#include <disktool/format.h>

#include <memory>
#include <optional>
#include <string>

namespace disktool::ploop {

/// Where the files of device_work.h lie: /var/lib/disktool, or $DISKTOOL_STATE for tests. Root's own, made by
/// who opens a device for writing.
std::string device_state_folder();

/// The disk is the whole device and keeps its length; "smaller" means that table, partition and file system end
/// earlier. Opened for writing, an interrupted copy is brought to its end first.
class DeviceImage final : public disktool::Image {
  public:
    explicit DeviceImage(std::unique_ptr<ImageOpener> opener);
    ~DeviceImage() override;

    const ImageInfo& info() const override { return info_; }
    BlockDevice& device() override { return *device_; }
    std::optional<Refusal> refusal(Capability capability) const override;
    void plan_resize(Plan& plan, const ResizeRequest& request) override;
    std::unique_ptr<WorkingDisk> begin_work(std::uint64_t size) override;

  private:
    std::unique_ptr<ImageOpener> opener_;
    std::unique_ptr<BlockDevice> device_;
    ImageInfo info_;
};

} // namespace disktool::ploop
