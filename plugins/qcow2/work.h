// SPDX-License-Identifier: LGPL-2.1-or-later
// The working disk: a new state in the image's own file, in clusters to which nothing refers before commit().
#pragma once

#include "new_disk.h"
#include "present.h"

#include <disktool/working_disk.h>

#include <cstdint>
#include <mutex>
#include <string>

namespace disktool::qcow2 {

/// Threads: any, one request at a time goes through.
class Work final : public WorkingDisk {
  public:
    /// The image has been asked whether it can be worked on. Throws damaged, size_impossible.
    Work(Image& image, std::uint64_t size);
    ~Work() override;

    std::uint64_t size() const override { return disk_.size(); }
    std::string name() const override { return image_.info().path; }
    bool concurrent() const override { return true; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override;
    std::vector<Extent> extents(Range range) override;
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    void discard(Range range) override;
    void zero(Range range) override;
    /// Nothing of the new state counts before the commit, so there is nothing to bring to stable storage.
    void flush() override {}
    bool take_from(std::uint64_t offset, File& source, Range from) override;
    std::uint64_t space_taken() const override;
    void commit(const WorkCommit& request) override;

  private:
    void abandon() noexcept;
    std::unique_lock<std::mutex> enter(Range range) const;

    Image& image_;
    Present present_;
    std::uint64_t file_size_; ///< before the work
    NewDisk disk_;
    mutable std::mutex mutex_;
    bool over_ = false;
};

} // namespace disktool::qcow2
