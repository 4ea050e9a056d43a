// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "raw_device.h"

#include <disktool/format.h>

#include <memory>
#include <optional>
#include <vector>

namespace disktool::raw {

/// A raw disk, for reading only. Threads: one at a time.
class RawImage final : public Image {
  public:
    explicit RawImage(std::unique_ptr<ImageOpener> opener);

    const ImageInfo& info() const override { return info_; }
    BlockDevice& device() override { return device_; }
    std::optional<Refusal> refusal(Capability capability) const override;
    std::vector<HostExtent> host_extents(Range range) override;

  private:
    std::unique_ptr<ImageOpener> opener_; ///< owns the file that device_ reads
    RawDevice device_;
    ImageInfo info_;
};

} // namespace disktool::raw
