// SPDX-License-Identifier: LGPL-2.1-or-later
// A file that remembers which of its parts were written.
#pragma once

#include "block/forwarding_file.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace disktool::ploop {

/// Everything goes to the file behind it, which it owns. Threads: as that file; start(), take() and stop() by
/// one.
///
/// A part is marked when its change is over: who is told of it and reads it then finds what was written. A
/// change that is under way while the marks are taken is told the next time.
class TrackingFile final : public ForwardingFile {
  public:
    /// `unit`: bytes of a part.
    TrackingFile(std::unique_ptr<File> file, std::uint64_t unit)
        : ForwardingFile(std::move(file)), unit_(unit) {}

    void start(); ///< with no marks
    void stop();
    bool tracking() const { return tracking_.load(); }
    /// Whole parts, sorted, neighbours together, within the file; they are not marked any more.
    std::vector<Range> take();

    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    void punch_hole(Range range) override;
    void zero(Range range) override;
    void allocate(Range range, bool keep_size) override;
    void truncate(std::uint64_t size) override;
    bool share_range(std::uint64_t offset, File& source, Range from) override;
    bool copy_range(std::uint64_t offset, File& source, Range from) override;
    void written_beside(Range range) noexcept override;

  private:
    class Marking;
    void mark(Range range) noexcept;

    const std::uint64_t unit_;
    std::atomic<bool> tracking_ = false;
    std::mutex mutex_;
    std::vector<std::uint64_t> marks_; ///< a bit for each part; longer than it need be
    bool all_ = false;                 ///< there was no memory for the marks
};

} // namespace disktool::ploop
