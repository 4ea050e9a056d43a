// SPDX-License-Identifier: LGPL-2.1-or-later
// Reading a device from front to back while what was read before is still being written.
#pragma once

#include <disktool/block_device.h>
#include <disktool/range.h>

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

namespace disktool {

/// Gives out the bytes of some ranges of a device piece by piece; a thread of its own is a few pieces ahead.
/// The device must outlive it and is nobody else's meanwhile. Threads: next() is called by one at a time.
class ReadAhead {
  public:
    struct Piece {
        Range range;
        std::span<const std::byte> bytes; ///< until the next call of next()
    };

    /// `ranges`: sorted. Pieces end on multiples of `longest` (bytes) where a range goes on behind it.
    ReadAhead(BlockDevice& device, std::vector<Range> ranges, std::uint64_t longest);
    ReadAhead(const ReadAhead&) = delete;
    ReadAhead& operator=(const ReadAhead&) = delete;
    ~ReadAhead(); ///< waits for the read that is under way

    /// None behind the last one. Throws what reading it threw.
    std::optional<Piece> next();

  private:
    struct Slot {
        Range range;
        std::vector<std::byte> bytes;
    };
    void read_all() noexcept;
    bool read_piece(Range range); ///< false: it is over

    BlockDevice& device_;
    const std::vector<Range> ranges_;
    const std::uint64_t longest_;
    std::array<Slot, 4> slots_; ///< used in turn

    std::mutex mutex_;
    std::condition_variable changed_;
    // With mutex_.
    std::uint64_t read_ = 0;     ///< pieces that are in a slot, or were
    std::uint64_t given_ = 0;    ///< pieces that next() has given out
    std::uint64_t released_ = 0; ///< pieces whose slots can be filled again
    bool stop_ = false;
    bool ended_ = false; ///< no more pieces come
    std::exception_ptr failure_;

    std::thread reader_; ///< last: it uses all of the above
};

} // namespace disktool
