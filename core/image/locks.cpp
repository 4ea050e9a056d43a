// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image/locks.h"

#include "image/lock_holders.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <thread>

namespace disktool {
namespace {

constexpr std::chrono::milliseconds poll_interval{100};

// QEMU's permissions as bytes of the file. It marks what it uses and what it denies with shared locks, and then
// looks whether others hold a mark that contradicts; so several can hold the same mark.
constexpr std::uint64_t used_base = 100;
constexpr std::uint64_t denied_base = 200;
enum Permission : std::uint64_t { consistent_read = 0, write = 1, resize = 3 };

using Permissions = std::initializer_list<Permission>;
constexpr std::uint64_t permission_bytes = 4;
constexpr Permissions reading = {consistent_read};
constexpr Permissions changing = {write, resize};
constexpr Permissions reading_and_changing = {consistent_read, write, resize};

bool mark(File& file, std::uint64_t base, Permissions permissions) {
    return std::all_of(permissions.begin(), permissions.end(), [&](Permission permission) {
        return file.try_lock_bytes({base + permission, 1}, LockMode::shared);
    });
}

/// Nobody but us has marked any of them.
bool unmarked(File& file, std::uint64_t base, Permissions permissions) {
    return std::all_of(permissions.begin(), permissions.end(), [&](Permission permission) {
        return file.could_lock_bytes({base + permission, 1}, LockMode::exclusive);
    });
}

void release_bytes(File& file) {
    file.try_lock_bytes({used_base, permission_bytes}, LockMode::none);
    file.try_lock_bytes({denied_base, permission_bytes}, LockMode::none);
}

/// First marks, then looks, as QEMU does: of two that come at once at least one sees the other.
bool try_claim(File& file, Access access) {
    const Permissions used = access == Access::write ? reading_and_changing : reading;
    if (mark(file, used_base, used) && mark(file, denied_base, changing) && unmarked(file, denied_base, used) &&
        unmarked(file, used_base, changing)) {
        return true;
    }
    release_bytes(file);
    return false;
}

bool marks_a_writer(const HeldLock& lock) {
    return !lock.whole_file && std::any_of(changing.begin(), changing.end(), [&](Permission permission) {
        return lock.first <= used_base + permission && lock.last >= used_base + permission;
    });
}

[[noreturn]] void throw_locked(const std::string& name, const std::vector<LockHolder>& holders) {
    throw Error(ErrorCode::locked,
                fmt::format("The specified disk image \"{}\" is locked by another process: {}", name,
                            holders_text(holders)),
                Reason::image_in_use);
}

} // namespace

bool ImageLock::try_take() {
    if (!file_.try_flock(access_ == Access::write ? LockMode::exclusive : LockMode::shared)) {
        return false;
    }
    bytes_held_ = try_claim(file_, access_);
    if (!bytes_held_ && access_ == Access::write) {
        file_.try_flock(LockMode::none);
        return false;
    }
    return true;
}

ImageLock::ImageLock(File& file, Access access, Wait wait, CancelToken* cancel, const std::string& shown)
    : file_(file), shown_(shown.empty() ? file.path() : shown), access_(access) {
    const auto start = std::chrono::steady_clock::now();
    while (!try_take()) {
        const bool for_ever = wait && wait->count() == 0;
        if (!wait || (!for_ever && std::chrono::steady_clock::now() - start >= *wait)) {
            throw_locked(shown.empty() ? file_.path() : shown,
                         access_ == Access::write ? lock_holders(file_.status())
                                                  : lock_holders(file_.status(), [](const HeldLock& lock) {
                                                        return lock.whole_file && lock.exclusive;
                                                    }));
        }
        if (cancel != nullptr) {
            cancel->check();
        }
        std::this_thread::sleep_for(poll_interval);
    }
    writer_present_ = !bytes_held_;
    if (writer_present_) {
        writers_ = lock_holders(file_.status(), marks_a_writer);
    }
}

ImageLock::~ImageLock() {
    if (until_closed_) {
        return;
    }
    try {
        release_bytes(file_);
        file_.try_flock(LockMode::none);
    } catch (const Error&) {
        return; // they go when the file is closed
    }
}

bool ImageLock::take_until_closed(File& file, Access access, Wait wait, CancelToken* cancel) {
    ImageLock lock(file, access, wait, cancel);
    lock.until_closed_ = true;
    return !lock.writer_present();
}

void ImageLock::release(File& file) {
    release_bytes(file);
    file.try_flock(LockMode::none);
}

void ImageLock::release_qemu_bytes() {
    release_bytes(file_);
    bytes_held_ = false;
}

void ImageLock::retake_qemu_bytes() {
    if (bytes_held_ || writer_present_) {
        return;
    }
    bytes_held_ = try_claim(file_, access_);
    if (!bytes_held_) {
        throw_locked(shown_,
                     lock_holders(file_.status(), [](const HeldLock& lock) { return !lock.whole_file; }));
    }
}

} // namespace disktool
