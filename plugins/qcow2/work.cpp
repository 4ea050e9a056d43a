// SPDX-License-Identifier: LGPL-2.1-or-later
#include "work.h"

#include "commit.h"
#include "new_bitmaps.h"
#include "sizes.h"

#include <disktool/error.h>
#include <disktool/log.h>

#include <fmt/format.h>

#include <stdexcept>

namespace disktool::qcow2 {

namespace {

/// Before the walk over all references, which takes longer.
Image& checked(Image& image, std::uint64_t size) {
    if (size < image.metadata().header().virtual_size) {
        throw std::logic_error("a working disk is at least as large as the disk");
    }
    check_size(image, size);
    check_bitmaps(image, size);
    return image;
}

} // namespace

Work::Work(Image& image, std::uint64_t size)
    : image_(checked(image, size)), present_(look_at_present(image)), file_size_(image.metadata().file_size()),
      disk_(image, size, present_.tail_start) {}

Work::~Work() {
    abandon();
}

void Work::abandon() noexcept {
    if (over_) {
        return;
    }
    over_ = true;
    try {
        if (image_.file().status().size > file_size_) {
            image_.file().truncate(file_size_);
        }
    } catch (const std::exception& error) {
        log(LogLevel::warning, fmt::format("What the work had taken of the host could not be given back; the "
                                           "next run does: {}",
                                           error.what()));
    }
}

std::unique_lock<std::mutex> Work::enter(Range range) const {
    std::unique_lock lock(mutex_);
    if (over_) {
        throw std::logic_error("a working disk is used after its end");
    }
    check_range(range.offset, range.length);
    return lock;
}

void Work::read(std::uint64_t offset, std::span<std::byte> buffer) {
    const auto lock = enter({offset, buffer.size()});
    disk_.read(offset, buffer);
}

std::vector<Extent> Work::extents(Range range) {
    const auto lock = enter(range);
    return disk_.extents(range);
}

void Work::write(std::uint64_t offset, std::span<const std::byte> data) {
    const auto lock = enter({offset, data.size()});
    disk_.write(offset, data);
}

void Work::discard(Range range) {
    const auto lock = enter(range);
    disk_.discard(range);
}

void Work::zero(Range range) {
    const auto lock = enter(range);
    disk_.zero(range);
}

bool Work::take_from(std::uint64_t offset, File& source, Range from) {
    const auto lock = enter({offset, from.length});
    return disk_.take_from(offset, source, from);
}

std::uint64_t Work::space_taken() const {
    const std::lock_guard lock(mutex_);
    return disk_.tail().used();
}

void Work::commit(const WorkCommit& request) {
    const auto lock = enter({});
    if (request.size > disk_.size()) {
        throw std::logic_error("a commit larger than its working disk");
    }
    Commit commit(image_, disk_, present_, request);
    try {
        commit.prepare();
        commit.write_metadata();
        commit.switch_over();
    } catch (...) {
        if (commit.undecided()) {
            over_ = true; // old and new state need all that is there
        } else {
            abandon();
            commit.unreserve();
        }
        throw;
    }
    over_ = true;
    try {
        commit.give_back();
    } catch (const Error& error) {
        log(LogLevel::warning,
            fmt::format("{} has its new state, but not all of the space that the old one took could be given "
                        "back; the next run does: {}",
                        image_.info().path, error.what()));
    }
    image_.reload();
}

} // namespace disktool::qcow2
