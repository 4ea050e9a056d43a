// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/file_device.h"

#include <algorithm>

namespace disktool::test {

FileDevice::FileDevice(const std::string& path, Access access, FileDoor& door)
    : file_(door.open(path, {.write = access == Access::write})), access_(access), size_(file_->status().size) {
}

void FileDevice::read(std::uint64_t offset, std::span<std::byte> buffer) {
    check_range(offset, buffer.size());
    file_->read(offset, buffer);
}

std::vector<Extent> FileDevice::extents(Range range) {
    check_range(range.offset, range.length);
    std::vector<Extent> result;
    while (!range.empty()) {
        const std::uint64_t end = range.end();
        const std::uint64_t data = std::min(file_->next_data(range.offset).value_or(end), end);
        if (data > range.offset) {
            result.push_back({{range.offset, data - range.offset}, ExtentKind::unallocated});
        } else {
            const std::uint64_t hole = std::min(file_->next_hole(range.offset).value_or(end), end);
            result.push_back({{range.offset, hole - range.offset}, ExtentKind::data});
        }
        range = {result.back().range.end(), end - result.back().range.end()};
    }
    return result;
}

void FileDevice::write(std::uint64_t offset, std::span<const std::byte> data) {
    if (!writable())
        BlockDevice::write(offset, data); // refuses
    check_range(offset, data.size());
    file_->write(offset, data);
}

void FileDevice::discard(Range range) {
    if (!writable())
        BlockDevice::discard(range); // refuses
    check_range(range.offset, range.length);
    file_->punch_hole(range);
}

void FileDevice::zero(Range range) {
    if (!writable())
        BlockDevice::zero(range); // refuses
    check_range(range.offset, range.length);
    file_->zero(range);
}

void FileDevice::flush() {
    if (!writable())
        BlockDevice::flush(); // refuses
    file_->sync_data();
}

} // namespace disktool::test
