// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/device_freezer.h"

#include "block/host_descriptor.h"

#include <disktool/error.h>
#include <disktool/log.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <system_error>

namespace disktool {

namespace {

struct Frozen {
    Descriptor point; ///< keeps it mounted, too: a frozen file system without a mount could never be thawed
    std::string name;
};

/// Opens it, unless something else lies over the mount point.
Descriptor open_mount(const DeviceMount& mount) {
    Descriptor point(open((mount.reach + mount.point).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct statx status {};
    if (point && (statx(point.get(), "", AT_EMPTY_PATH, STATX_MNT_ID, &status) != 0 ||
                  (status.stx_mask & STATX_MNT_ID) == 0 || status.stx_mnt_id != mount.id)) {
        point.close();
    }
    return point;
}

/// One mount of each file system, where it can be opened.
std::vector<std::pair<DeviceMount, Descriptor>> filesystems(const std::vector<std::uint64_t>& numbers) {
    std::vector<std::pair<DeviceMount, Descriptor>> found;
    const auto add = [&](const std::vector<DeviceMount>& mounts) {
        for (const DeviceMount& mount : mounts) {
            const bool known = std::any_of(found.begin(), found.end(), [&](const auto& other) {
                return other.first.device_number == mount.device_number;
            });
            if (Descriptor point = known ? Descriptor{} : open_mount(mount)) {
                found.emplace_back(mount, std::move(point));
            }
        }
    };
    add(mounts_of(numbers));
    if (found.size() < numbers.size()) {
        add(mounts_elsewhere(numbers));
    }
    return found;
}

void thaw_one(const Frozen& one) noexcept {
    if (ioctl(one.point.get(), FITHAW, 0) != 0) {
        log(LogLevel::warning,
            fmt::format("{} cannot be thawed: {}", one.name, std::generic_category().message(errno)));
    }
}

} // namespace

struct DeviceFreezer::Impl {
    std::function<std::vector<std::uint64_t>()> numbers;
    std::mutex mutex;
    std::vector<Frozen> frozen;
    std::vector<DeviceMount> mounts;
    unsigned depth = 0;

    void thaw_all() noexcept {
        for (auto one = frozen.rbegin(); one != frozen.rend(); ++one) {
            thaw_one(*one);
        }
        frozen.clear();
    }
    void freeze_one(const DeviceMount& mount, Descriptor point) {
        syncfs(point.get()); // while it still can be written to: less is left for the moment in which it cannot
        if (ioctl(point.get(), FIFREEZE, 0) == 0) {
            frozen.push_back({std::move(point), mount.point});
            return;
        }
        if (errno != EOPNOTSUPP && errno != EBUSY) { // EBUSY: somebody else has frozen it
            throw SystemError("Cannot freeze the file system on", mount.point, errno);
        }
    }
};

DeviceFreezer::DeviceFreezer(std::function<std::vector<std::uint64_t>()> numbers)
    : impl_(std::make_unique<Impl>()) {
    impl_->numbers = std::move(numbers);
}

DeviceFreezer::~DeviceFreezer() {
    impl_->thaw_all();
}

std::vector<DeviceMount> DeviceFreezer::freeze() {
    const std::scoped_lock lock(impl_->mutex);
    if (impl_->depth == 0) {
        impl_->mounts.clear();
        try {
            for (auto& [mount, point] : filesystems(impl_->numbers())) {
                impl_->freeze_one(mount, std::move(point));
                impl_->mounts.push_back(mount);
            }
        } catch (...) {
            impl_->thaw_all();
            throw;
        }
    }
    ++impl_->depth;
    return impl_->mounts;
}

void DeviceFreezer::thaw() noexcept {
    const std::scoped_lock lock(impl_->mutex);
    if (impl_->depth > 0 && --impl_->depth == 0) {
        impl_->thaw_all();
    }
}

void thaw_left_frozen(const std::vector<std::uint64_t>& device_numbers) noexcept {
    try {
        for (const auto& [mount, point] : filesystems(device_numbers)) {
            if (ioctl(point.get(), FITHAW, 0) != 0 && errno != EINVAL) { // EINVAL: it is not frozen
                log(LogLevel::warning, fmt::format("{} cannot be thawed: {}", mount.point,
                                                   std::generic_category().message(errno)));
            }
        }
    } catch (const std::exception& error) {
        log(LogLevel::warning, error.what());
    }
}

} // namespace disktool
