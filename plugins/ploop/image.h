// SPDX-License-Identifier: LGPL-2.1-or-later
// A ploop image as the core sees it: the top delta, with what lies below it as its backing image.
#pragma once

#include "delta.h"
#include "layered_device.h"
#include "membership.h"
#include "operations.h"

#include <disktool/format.h>

#include <memory>
#include <optional>
#include <string>

namespace disktool::ploop {

/// A descriptor beside the file that names it says what lies below and whether the file is raw (whatever the
/// guest has written to its start), and is locked and kept in step while the image is open for writing. A file
/// that no descriptor names stands alone.
class Image final : public disktool::Image {
  public:
    explicit Image(std::unique_ptr<ImageOpener> opener);
    ~Image() override;

    const ImageInfo& info() const override { return info_; }
    BlockDevice& device() override { return *device_; }
    std::optional<Refusal> refusal(Capability capability) const override;
    void plan_resize(Plan& plan, const ResizeRequest& request) override;
    CompactEstimate plan_compact(Plan& plan, const ExtentSet& discardable) override;
    CompactEstimate estimate_compact(const ExtentSet& discardable) override;
    void plan_mend(Plan& plan) override;
    bool plan_merge_all(Plan& plan) override;
    CheckReport check() override;
    disktool::Image* backing() override { return backing_.get(); }
    ExtentSet own_extents(Range range) override;
    std::vector<HostExtent> host_extents(Range range) override;
    Allocation allocation() override;
    std::unique_ptr<WorkingDisk> begin_work(std::uint64_t size) override;

    // For the steps of this plugin.
    Delta& delta() { return *delta_; }
    BlockDevice* below() { return backing_ ? &backing_->device() : nullptr; }
    bool raw() const { return delta_->raw(); }
    /// A preallocated disk is none any more when clusters are freed; its descriptor says so before they are.
    void call_expanded();
    Doors doors() { return opener_->doors(); }
    /// The file was changed, or the delta closed with its changes: all of it is read anew.
    void reload();
    /// Moves the tail into the holes and cuts the file. Returns the bytes that the host got back.
    std::uint64_t give_back();
    /// Takes the in-use mark off again, where it was set: every entry of the BAT is a good one at any moment.
    void close_after_failure();

  private:
    std::unique_ptr<Delta> open_delta(bool dirty_too);
    void lock_disk();
    bool is_raw() const;
    bool is_dirty() const;
    void fill_info();
    void describe_size(std::uint64_t disk_sectors);

    std::unique_ptr<ImageOpener> opener_;
    std::optional<Membership> membership_; ///< none: it stands alone
    std::unique_ptr<PloopDisk> disk_;      ///< of the top, open for writing: holds the descriptor's lock
    std::unique_ptr<disktool::Image> backing_;
    bool was_dirty_ = false;
    std::unique_ptr<Delta> delta_;
    std::unique_ptr<LayeredDevice> device_;
    ImageInfo info_;
};

} // namespace disktool::ploop
