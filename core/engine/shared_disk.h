// SPDX-License-Identifier: LGPL-2.1-or-later
// A working disk that the steps of a job and the threads of its view use side by side.
#pragma once

#include "engine/entrance.h"

#include <disktool/working_disk.h>

#include <memory>

namespace disktool {

/// Lets requests through to the disk as it can bear them: together where it is concurrent(), else one after the
/// other; what is not said to be concurrent (extents, flush, ...) always alone. Owns it. Threads: any.
class SharedDisk final : public WorkingDisk {
  public:
    explicit SharedDisk(std::unique_ptr<WorkingDisk> disk)
        : disk_(std::move(disk)), size_(disk_->size()), concurrent_(disk_->concurrent()) {}

    std::uint64_t size() const override { return size_; }
    std::string name() const override { return disk_->name(); }
    bool concurrent() const override { return true; }

    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        entrance_.pass(concurrent_, [&] { disk_->read(offset, buffer); });
    }
    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        entrance_.pass(concurrent_, [&] { disk_->write(offset, data); });
    }
    void discard(Range range) override {
        entrance_.pass(concurrent_, [&] { disk_->discard(range); });
    }
    void zero(Range range) override {
        entrance_.pass(concurrent_, [&] { disk_->zero(range); });
    }
    void flush() override {
        entrance_.pass(false, [&] { disk_->flush(); });
    }
    std::vector<Extent> extents(Range range) override {
        return entrance_.pass(false, [&] { return disk_->extents(range); });
    }
    bool take_from(std::uint64_t offset, File& source, Range from) override {
        return entrance_.pass(false, [&] { return disk_->take_from(offset, source, from); });
    }
    std::uint64_t space_taken() const override {
        return entrance_.pass(false, [&] { return disk_->space_taken(); });
    }
    void commit(const WorkCommit& request) override {
        entrance_.pass(false, [&] { disk_->commit(request); });
    }

  private:
    mutable Entrance entrance_;
    const std::unique_ptr<WorkingDisk> disk_;
    const std::uint64_t size_;
    const bool concurrent_;
};

} // namespace disktool
