// SPDX-License-Identifier: LGPL-2.1-or-later
// An open qcow2 image: what it is, its disk, and what can be done with it.
#pragma once

#include "bitmaps.h"
#include "device.h"
#include "metadata.h"
#include "snapshots.h"

#include <disktool/format.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace disktool::qcow2 {

class Image final : public disktool::Image {
  public:
    /// Throws what Metadata, read_snapshots, read_bitmaps and the opener throw.
    explicit Image(std::unique_ptr<ImageOpener> opener);
    ~Image() override;

    const ImageInfo& info() const override { return info_; }
    BlockDevice& device() override;
    std::optional<Refusal> refusal(Capability capability) const override;
    void plan_resize(Plan& plan, const ResizeRequest& request) override;
    CompactEstimate plan_compact(Plan& plan, const ExtentSet& discardable) override;
    CompactEstimate estimate_compact(const ExtentSet& discardable) override;
    void plan_mend(Plan& plan) override;
    CheckReport check() override;
    disktool::Image* backing() override { return shows_backing_ ? backing_.get() : nullptr; }
    ExtentSet own_extents(Range range) override;
    std::vector<HostExtent> host_extents(Range range) override;
    Allocation allocation() override;
    std::unique_ptr<WorkingDisk> begin_work(std::uint64_t size) override;

    // For the steps of this plugin.
    ImageOpener& opener() { return *opener_; }
    File& file() { return file_; }
    Metadata& metadata() { return metadata_; }
    const Metadata& metadata() const { return metadata_; }
    const SnapshotTable& snapshots() const { return snapshots_; }
    const std::vector<Bitmap>& bitmaps() const { return bitmaps_; }
    /// Its file was changed: info and device tell of what is there now. References to them stay good.
    void reload();

  private:
    void fill_info();
    void require(Capability capability) const;
    /// What forbids any change of the disk.
    std::optional<Refusal> refusal_to_change() const;
    BlockDevice* backing_device();
    Device& own_device();

    std::unique_ptr<ImageOpener> opener_;
    File& file_;
    Metadata metadata_;
    SnapshotTable snapshots_;
    std::vector<Bitmap> bitmaps_;
    std::unique_ptr<File> data_file_;          ///< null: the data lies in file_
    std::unique_ptr<disktool::Image> backing_; ///< null: none; stays, with its locks, when it was dropped
    bool shows_backing_ = true;
    std::unique_ptr<Device> device_; ///< made when first asked for
    ImageInfo info_;
};

} // namespace disktool::qcow2
