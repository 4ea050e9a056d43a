// SPDX-License-Identifier: LGPL-2.1-or-later
#include <disktool/devices.h>
#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace disktool {

Window::Window(BlockDevice& parent, Range part, std::string name)
    : parent_(parent), part_(part), name_(std::move(name)) {
    if (part.offset > parent.size() || part.length > parent.size() - part.offset)
        throw Error(ErrorCode::damaged,
                    fmt::format("{}: {} bytes at offset {} lie beyond the end of {} at {}", name_, part.length,
                                part.offset, parent.name(), parent.size()),
                    Reason::partition_beyond_end);
}

Window::~Window() = default;

void Window::read(std::uint64_t offset, std::span<std::byte> buffer) {
    check_range(offset, buffer.size());
    parent_.read(part_.offset + offset, buffer);
}

std::vector<Extent> Window::extents(Range range) {
    check_range(range.offset, range.length);
    std::vector<Extent> extents = parent_.extents({part_.offset + range.offset, range.length});
    for (Extent& extent : extents)
        extent.range.offset -= part_.offset;
    return extents;
}

void Window::write(std::uint64_t offset, std::span<const std::byte> data) {
    check_range(offset, data.size());
    parent_.write(part_.offset + offset, data);
}

void Window::discard(Range range) {
    check_range(range.offset, range.length);
    parent_.discard({part_.offset + range.offset, range.length});
}

void Window::zero(Range range) {
    check_range(range.offset, range.length);
    parent_.zero({part_.offset + range.offset, range.length});
}

CachedDevice::CachedDevice(BlockDevice& parent, std::uint32_t block_size, std::size_t capacity)
    : parent_(parent), block_size_(std::max<std::uint32_t>(block_size, 1)),
      capacity_blocks_(std::max<std::size_t>(capacity / block_size_, 1)) {}

CachedDevice::~CachedDevice() = default;

void CachedDevice::read(std::uint64_t offset, std::span<std::byte> buffer) {
    check_range(offset, buffer.size());
    if (buffer.size() > capacity_blocks_ * block_size_ / 4) {
        parent_.read(offset, buffer);
        return;
    }
    while (!buffer.empty()) {
        const std::vector<std::byte>& data = block(offset / block_size_);
        const std::size_t start = offset % block_size_;
        const std::size_t length = std::min(buffer.size(), data.size() - start);
        std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(start), length, buffer.begin());
        buffer = buffer.subspan(length);
        offset += length;
    }
}

void CachedDevice::write(std::uint64_t offset, std::span<const std::byte> data) {
    drop({offset, data.size()});
    parent_.write(offset, data);
}

void CachedDevice::discard(Range range) {
    drop(range);
    parent_.discard(range);
}

void CachedDevice::zero(Range range) {
    drop(range);
    parent_.zero(range);
}

const std::vector<std::byte>& CachedDevice::block(std::uint64_t index) {
    if (const auto known = index_.find(index); known != index_.end()) {
        blocks_.splice(blocks_.begin(), blocks_, known->second);
        return blocks_.front().data;
    }
    const std::uint64_t offset = index * block_size_;
    Block fresh{index, std::vector<std::byte>(std::min<std::uint64_t>(block_size_, size() - offset))};
    parent_.read(offset, fresh.data);
    blocks_.push_front(std::move(fresh));
    index_[index] = blocks_.begin();
    if (blocks_.size() > capacity_blocks_) {
        index_.erase(blocks_.back().index);
        blocks_.pop_back();
    }
    return blocks_.front().data;
}

void CachedDevice::drop(Range range) {
    check_range(range.offset, range.length);
    if (range.empty())
        return;
    const std::uint64_t first = range.offset / block_size_;
    const std::uint64_t last = (range.end() - 1) / block_size_;
    // Over the blocks kept, not over the range, which may be a discard of a terabyte.
    std::erase_if(blocks_, [&](const Block& block) {
        const bool touched = block.index >= first && block.index <= last;
        if (touched)
            index_.erase(block.index);
        return touched;
    });
}

} // namespace disktool
