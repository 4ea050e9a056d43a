// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tracking_file.h"

#include <disktool/size.h>

#include <algorithm>
#include <new>

namespace disktool::ploop {

namespace {

constexpr std::uint64_t word_bits = 64;

} // namespace

/// Marks at the end of its life: also when the change has failed, since a part of it may have been done.
class TrackingFile::Marking {
  public:
    Marking(TrackingFile& file, Range range) : file_(file), range_(range) {}
    Marking(const Marking&) = delete;
    Marking& operator=(const Marking&) = delete;
    ~Marking() {
        if (file_.tracking_) {
            file_.mark(range_);
        }
    }

  private:
    TrackingFile& file_;
    const Range range_;
};

void TrackingFile::start() {
    const std::lock_guard lock(mutex_);
    // So that what is written does not have to wait for memory.
    marks_.assign(file_->status().size / unit_ / word_bits + 1024, 0);
    all_ = false;
    tracking_ = true;
}

void TrackingFile::stop() {
    tracking_ = false;
    const std::lock_guard lock(mutex_);
    marks_ = {};
}

void TrackingFile::mark(Range range) noexcept {
    if (range.empty()) {
        return;
    }
    const std::lock_guard lock(mutex_);
    const std::uint64_t last = (range.end() - 1) / unit_;
    try {
        if (last / word_bits >= marks_.size()) {
            marks_.resize(last / word_bits * 2 + 1);
        }
    } catch (const std::bad_alloc&) {
        all_ = true;
        return;
    }
    for (std::uint64_t part = range.offset / unit_; part <= last; ++part) {
        marks_[part / word_bits] |= std::uint64_t{1} << part % word_bits;
    }
}

std::vector<Range> TrackingFile::take() {
    const std::uint64_t size = file_->status().size;
    std::vector<Range> ranges;
    const std::lock_guard lock(mutex_);
    const auto add = [&](std::uint64_t first, std::uint64_t end) {
        const std::uint64_t from = first * unit_;
        const std::uint64_t to = std::min(end * unit_, size);
        if (from < to) {
            ranges.push_back({from, to - from});
        }
    };
    if (all_) {
        add(0, divide_up(size, unit_));
        std::ranges::fill(marks_, 0);
        all_ = false;
        return ranges;
    }
    const auto marked = [&](std::uint64_t part) {
        return part / word_bits < marks_.size() && (marks_[part / word_bits] >> part % word_bits & 1) != 0;
    };
    const std::uint64_t parts = marks_.size() * word_bits;
    for (std::uint64_t part = 0; part < parts;) {
        if (marks_[part / word_bits] == 0) {
            part = (part / word_bits + 1) * word_bits;
            continue;
        }
        if (!marked(part)) {
            ++part;
            continue;
        }
        const std::uint64_t first = part;
        while (marked(part)) {
            ++part;
        }
        add(first, part);
    }
    std::ranges::fill(marks_, 0);
    return ranges;
}

void TrackingFile::write(std::uint64_t offset, std::span<const std::byte> data) {
    const Marking marking(*this, {offset, data.size()});
    file_->write(offset, data);
}

void TrackingFile::punch_hole(Range range) {
    const Marking marking(*this, range);
    file_->punch_hole(range);
}

void TrackingFile::zero(Range range) {
    const Marking marking(*this, range);
    file_->zero(range);
}

void TrackingFile::allocate(Range range, bool keep_size) {
    // Only what lies behind the old end changes, and reads as zeros there.
    const Marking marking(*this, keep_size ? Range{} : range);
    file_->allocate(range, keep_size);
}

void TrackingFile::truncate(std::uint64_t size) {
    if (!tracking_) {
        file_->truncate(size);
        return;
    }
    // What is behind a new end is not told of, but may be there again before marks are taken.
    const std::uint64_t before = file_->status().size;
    const Marking marking(*this, {std::min(before, size), std::max(before, size) - std::min(before, size)});
    file_->truncate(size);
}

bool TrackingFile::share_range(std::uint64_t offset, File& source, Range from) {
    const Marking marking(*this, {offset, from.length});
    return file_->share_range(offset, source, from);
}

bool TrackingFile::copy_range(std::uint64_t offset, File& source, Range from) {
    const Marking marking(*this, {offset, from.length});
    return file_->copy_range(offset, source, from);
}

void TrackingFile::written_beside(Range range) noexcept {
    const Marking marking(*this, range);
    file_->written_beside(range);
}

} // namespace disktool::ploop
