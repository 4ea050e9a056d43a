// SPDX-License-Identifier: LGPL-2.1-or-later
// A swap area seen as a file system: nothing in it outlives the system that uses it, so all but its header and
// its bad pages is free.
#pragma once

#include "swap_header.h"

#include <disktool/block_device.h>
#include <disktool/filesystem.h>

#include <string>

namespace disktool::swap {

/// See disktool/filesystem.h.
class SwapFilesystem : public Filesystem {
  public:
    SwapFilesystem(BlockDevice& device, SwapHeader header);

    std::string type() const override { return "swap"; }
    FilesystemState state() override;
    FilesystemUsage usage() override;
    ExtentSet free_extents() override;
    MinimumSize minimum_size() override;
    Details details() override;
    Reason can_grow() const override { return obstacle(); }
    Reason can_shrink() const override { return obstacle(); }
    bool resizes_natively() const override { return true; }
    void plan_resize(Plan& plan, const FilesystemResize& request) override;

  private:
    bool hibernated() const { return header_.kind == SwapKind::hibernated; }
    Reason obstacle() const { return hibernated() ? Reason::hibernated : Reason::none; }
    void demand_awake() const;

    BlockDevice& device_;
    SwapHeader header_;
};

} // namespace disktool::swap
