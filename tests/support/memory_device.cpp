// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/memory_device.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace disktool::test {

namespace {

/// What of `range` lies in the page that holds its start.
std::uint64_t within_page(Range range) {
    return std::min(range.length, MemoryDevice::page_size - range.offset % MemoryDevice::page_size);
}

} // namespace

void MemoryDevice::check(const char* action, Range range) const {
    check_range(range.offset, range.length);
    const auto bad = bad_.lower_bound(range.offset);
    if (bad != bad_.end() && range.contains(*bad))
        throw SystemError(fmt::format("Cannot {} {} bytes at offset {} of", action, range.length, range.offset),
                          name_, EIO);
}

void MemoryDevice::read(std::uint64_t offset, std::span<std::byte> buffer) {
    check("read", {offset, buffer.size()});
    ++reads_;
    bytes_read_ += buffer.size();
    while (!buffer.empty()) {
        const std::uint64_t length = within_page({offset, buffer.size()});
        if (const auto page = pages_.find(offset / page_size); page != pages_.end())
            std::copy_n(page->second.begin() + static_cast<std::ptrdiff_t>(offset % page_size), length,
                        buffer.begin());
        else
            std::fill_n(buffer.begin(), length, std::byte{0});
        buffer = buffer.subspan(length);
        offset += length;
    }
}

std::vector<Extent> MemoryDevice::extents(Range range) {
    check_range(range.offset, range.length);
    std::vector<Extent> result;
    while (!range.empty()) {
        const bool stored = pages_.contains(range.offset / page_size);
        std::uint64_t length = within_page(range);
        if (!stored) { // up to the next page that is stored
            const auto next = pages_.lower_bound(range.offset / page_size);
            length = next == pages_.end() ? range.length
                                          : std::min(range.length, next->first * page_size - range.offset);
        }
        const ExtentKind kind = stored ? ExtentKind::data : ExtentKind::unallocated;
        if (!result.empty() && result.back().kind == kind)
            result.back().range.length += length;
        else
            result.push_back({{range.offset, length}, kind});
        range = {range.offset + length, range.length - length};
    }
    return result;
}

void MemoryDevice::write(std::uint64_t offset, std::span<const std::byte> data) {
    ++writes_;
    if (!writable_)
        BlockDevice::write(offset, data); // refuses
    check("write", {offset, data.size()});
    while (!data.empty()) {
        const std::uint64_t length = within_page({offset, data.size()});
        std::vector<std::byte>& page = pages_[offset / page_size];
        page.resize(page_size);
        std::copy_n(data.begin(), length, page.begin() + static_cast<std::ptrdiff_t>(offset % page_size));
        data = data.subspan(length);
        offset += length;
    }
}

void MemoryDevice::zero(Range range) {
    if (!writable_)
        BlockDevice::zero(range); // refuses
    check("zero", range);
    if (range.empty())
        return;
    const std::uint64_t end = range.end();
    auto page = pages_.lower_bound(range.offset / page_size);
    while (page != pages_.end() && page->first * page_size < end) {
        const std::uint64_t start = page->first * page_size;
        const std::uint64_t from = std::max(range.offset, start) - start;
        const std::uint64_t to = std::min(end - start, page_size);
        if (from == 0 && (to == page_size || end == size_)) {
            page = pages_.erase(page);
            continue;
        }
        std::fill(page->second.begin() + static_cast<std::ptrdiff_t>(from),
                  page->second.begin() + static_cast<std::ptrdiff_t>(to), std::byte{0});
        ++page;
    }
}

void MemoryDevice::flush() {
    if (!writable_)
        BlockDevice::flush(); // refuses
    ++flushes_;
}

} // namespace disktool::test
