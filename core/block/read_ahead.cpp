// SPDX-License-Identifier: LGPL-2.1-or-later
#include "block/read_ahead.h"

#include <disktool/bytes.h>
#include <disktool/size.h>

#include <algorithm>
#include <utility>

namespace disktool {

ReadAhead::ReadAhead(BlockDevice& device, std::vector<Range> ranges, std::uint64_t longest)
    : device_(device), ranges_(std::move(ranges)), longest_(longest), reader_([this] { read_all(); }) {}

ReadAhead::~ReadAhead() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    changed_.notify_all();
    reader_.join();
}

void ReadAhead::read_all() noexcept {
    std::exception_ptr failure;
    try {
        for (const Range range : ranges_) {
            for (std::uint64_t at = range.offset; at < range.end();) {
                const std::uint64_t end = std::min(range.end(), round_down(at, longest_) + longest_);
                if (!read_piece({at, end - at})) {
                    return;
                }
                at = end;
            }
        }
    } catch (...) {
        failure = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    failure_ = failure;
    ended_ = true;
    changed_.notify_all();
}

bool ReadAhead::read_piece(Range range) {
    std::uint64_t number = 0;
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stop_ || read_ - released_ < slots_.size(); });
        if (stop_) {
            return false;
        }
        number = read_;
    }
    Slot& slot = slots_[number % slots_.size()];
    slot.range = range;
    slot.bytes.resize(static_cast<std::size_t>(range.length));
    device_.read(range.offset, slot.bytes);
    const std::lock_guard lock(mutex_);
    ++read_;
    changed_.notify_all();
    return true;
}

std::optional<ReadAhead::Piece> ReadAhead::next() {
    std::unique_lock lock(mutex_);
    released_ = given_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return read_ > given_ || ended_; });
    if (read_ == given_) {
        if (failure_) {
            std::rethrow_exception(failure_);
        }
        return std::nullopt;
    }
    const Slot& slot = slots_[given_++ % slots_.size()];
    return Piece{slot.range, slot.bytes};
}

} // namespace disktool
