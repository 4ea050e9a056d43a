// SPDX-License-Identifier: LGPL-2.1-or-later
#include "descriptor_lock.h"

#include "image/locks.h"
#include "ploop_error.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <thread>

namespace disktool::ploop {
namespace {

constexpr std::chrono::milliseconds poll_interval{100};
constexpr std::uint32_t lock_mode = 0644;

// Newer versions hold a read lock on the first range while they work at a disk, and on the second one in long
// jobs; whoever finds any lock of another there stays away.
constexpr Range work_bytes{200, 5};
constexpr Range long_work_bytes{300, 5};

} // namespace

template <typename Try>
void DescriptorLock::wait_for(Try take, File& file, const std::string& name) const {
    const auto start = std::chrono::steady_clock::now();
    while (!take()) {
        if (std::chrono::steady_clock::now() - start >= wait_) {
            throw PloopError(
                Exit::bad_descriptor, ErrorCode::locked,
                fmt::format("The {} is locked: {}. It is held by {}; wait until that has ended, or end it",
                            name, std::strerror(EAGAIN), holders_text(lock_holders(file.status()))),
                Reason::image_in_use);
        }
        if (cancel_ != nullptr) {
            cancel_->check();
        }
        std::this_thread::sleep_for(poll_interval);
    }
}

DescriptorLock::DescriptorLock(FileDoor& files, const std::string& descriptor_path, std::chrono::seconds wait,
                               CancelToken* cancel)
    : files_(files), path_(descriptor_path + ".lck"), wait_(wait), cancel_(cancel) {
    const auto open = [&] {
        file_ = files_.open(path_, {.write = true, .create = true, .follow_links = false, .mode = lock_mode});
    };
    open();
    for (;;) {
        wait_for([&] { return file_->try_flock(LockMode::exclusive); }, *file_, path_);
        // The original removes the file when an init fails; then this is not the one that others see.
        const std::optional<FileStatus> now = files_.status(path_, false);
        if (now && now->same_file(file_->status())) {
            return;
        }
        open();
    }
}

// Closing the files lets the locks go.
DescriptorLock::~DescriptorLock() = default;

/// First marks, then looks: of two that come at once at least one sees the other.
bool DescriptorLock::try_take_bytes() {
    if (base_image_->try_lock_bytes(work_bytes, LockMode::shared)) {
        if (base_image_->could_lock_bytes(work_bytes, LockMode::exclusive) &&
            base_image_->could_lock_bytes(long_work_bytes, LockMode::exclusive)) {
            return true;
        }
        base_image_->try_lock_bytes(work_bytes, LockMode::none);
    }
    return false;
}

void DescriptorLock::lock_base_image(const std::string& path) {
    base_image_ = files_.open(path, {});
    try {
        wait_for([&] { return try_take_bytes(); }, *base_image_, path);
    } catch (...) {
        base_image_.reset();
        throw;
    }
}

void DescriptorLock::release_base_image() {
    base_image_.reset();
}

} // namespace disktool::ploop
