// SPDX-License-Identifier: LGPL-2.1-or-later
// A new state of a raw disk in the making. A raw file has no table that could switch from old to new, so the
// descriptor does it: what changes lies in a ploop1 delta over the raw file, the descriptor names that delta as
// the top at one instant, its clusters go into the raw file while the disk is read through it, and then the
// descriptor names the raw file alone again.
#pragma once

#include "operations.h"
#include "overlay_work.h"

#include <cstdint>
#include <functional>
#include <string>

namespace disktool::ploop {

/// See WorkingDisk. Of a disk whose only image is raw; `disk` is open for writing and outlives this. The delta
/// is IMAGE.disktool-work; in the descriptor the raw file is meanwhile a temporary snapshot, which the
/// original would merge as well. Threads: any.
class RawWork final : public OverlayWork {
  public:
    /// `size`: bytes, the larger of old and new. `done` is called when the raw file holds the new state alone.
    /// Throws size_impossible.
    RawWork(PloopDisk& disk, std::uint64_t size, std::function<void()> done);
    ~RawWork() override;

    /// An error after the switch is one all the same, whose sentence says that the disk is the new one.
    void commit(const WorkCommit& request) override;

  private:
    void abandon() noexcept;
    void reserve(const WorkCommit& request, std::uint64_t old_size);
    void name_overlay(std::uint64_t sectors);
    bool may_have_switched() const noexcept;

    PloopDisk& disk_;
    const std::string image_;
    const std::function<void()> done_;
    bool reserved_ = false; ///< behind the end of the raw file
    bool over_ = false;
};

/// Does the descriptor name a delta of RawWork, or a snapshot of it, over the raw file?
bool raw_work_unfinished(const Descriptor& descriptor);

/// When the disk was opened for writing: brings what was committed to its end, removes what was not, and tells
/// of it through disk.say. A delta that is in use (somebody has mounted the disk since) stays.
void finish_raw_work(PloopDisk& disk);

} // namespace disktool::ploop
