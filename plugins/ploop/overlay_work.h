// SPDX-License-Identifier: LGPL-2.1-or-later
// A working disk over bytes that have no table: what changes lies in a ploop1 delta above them. How the new
// state becomes the one that holds is for those that derive from this.
#pragma once

#include "disk.h"

#include <disktool/doors.h>
#include <disktool/working_disk.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace disktool::ploop {

/// See WorkingDisk. Threads: any.
class OverlayWork : public WorkingDisk {
  public:
    ~OverlayWork() override = default; ///< those that derive from this see to the delta's file

    std::uint64_t size() const override { return size_; }
    std::string name() const override { return name_; }
    bool concurrent() const override { return true; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override;
    std::vector<Extent> extents(Range range) override;
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    void discard(Range range) override;
    void zero(Range range) override;
    /// Nothing of it counts before the commit, which syncs.
    void flush() override {}
    std::uint64_t space_taken() const override;

  protected:
    /// `base`: open for reading. `size`: bytes of the working disk. Throws size_impossible.
    OverlayWork(std::unique_ptr<Delta> base, std::uint64_t size);
    /// Makes the delta's file, which must not be there. `like_base`: with the owner and mode of the base.
    void make_overlay(FileDoor& files, const std::string& path, bool like_base);
    /// Closed and on stable storage; its folder is the caller's. Nothing can be read any more.
    void close_overlay();
    ChainDevice& chain() { return *chain_; }
    bool open() const { return chain_ != nullptr; }
    /// Lets go of it as it is.
    void let_go() { chain_.reset(); }

  private:
    const std::string name_;
    const std::uint64_t size_;
    std::unique_ptr<Delta> base_; ///< until chain_ has it
    std::unique_ptr<ChainDevice> chain_;
};

} // namespace disktool::ploop
