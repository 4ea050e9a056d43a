// SPDX-License-Identifier: LGPL-2.1-or-later
#include "new_disk.h"

namespace disktool::raw {

NewDisk::NewDisk(Doors doors, const std::string& path, std::uint64_t size)
    : file_(doors.files.open(path, {.write = true, .create = true, .exclusive = true, .follow_links = false})),
      size_(size) {
    file_->truncate(size);
}

void NewDisk::read(std::uint64_t offset, std::span<std::byte> buffer) {
    check_range(offset, buffer.size());
    file_->read(offset, buffer);
}

void NewDisk::write(std::uint64_t offset, std::span<const std::byte> data) {
    check_range(offset, data.size());
    file_->write(offset, data);
}

void NewDisk::zero(Range range) {
    check_range(range.offset, range.length);
    file_->punch_hole(range);
}

bool NewDisk::take_from(std::uint64_t offset, File& source, Range from) {
    check_range(offset, from.length);
    return file_->copy_range(offset, source, from);
}

void NewDisk::commit(const WorkCommit& request) {
    file_->truncate(request.size);
    if (request.reserve) {
        file_->allocate({0, request.size}, true);
    }
    file_->sync();
}

} // namespace disktool::raw
