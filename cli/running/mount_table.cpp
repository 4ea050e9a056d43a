// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mount_table.h"

#include "device/device_users.h"
#include "mount_users.h"
#include "ploop_error.h"

#include <blkid.h>
#include <fmt/format.h>
#include <libmount.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <new>
#include <system_error>
#include <thread>

namespace disktool::ploop::cli {

namespace {

struct Release {
    void operator()(libmnt_table* table) const { mnt_unref_table(table); }
    void operator()(libmnt_iter* place) const { mnt_free_iter(place); }
    void operator()(libmnt_context* context) const { mnt_free_context(context); }
    void operator()(blkid_struct_probe* probe) const { blkid_free_probe(probe); }
};
template <typename T>
using Owned = std::unique_ptr<T, Release>;

template <typename T>
Owned<T> owned(T* made) {
    if (made == nullptr) {
        throw std::bad_alloc();
    }
    return Owned<T>(made);
}

std::string text_of(const char* text) {
    return text == nullptr ? "" : text;
}

/// Calls `visit` for each mount that we see, in the kernel's order.
template <typename Visit>
void each_mount(Visit visit) {
    const Owned<libmnt_table> table(mnt_new_table_from_file("/proc/self/mountinfo"));
    if (!table) {
        throw SystemError("Cannot read", "/proc/self/mountinfo", errno);
    }
    const Owned<libmnt_iter> place = owned(mnt_new_iter(MNT_ITER_FORWARD));
    libmnt_fs* entry = nullptr;
    while (mnt_table_next_fs(table.get(), place.get(), &entry) == 0) {
        visit(entry);
    }
}

MountPoint point_of(libmnt_fs* entry) {
    return {mnt_fs_get_id(entry), text_of(mnt_fs_get_source(entry)), text_of(mnt_fs_get_target(entry)),
            text_of(mnt_fs_get_fstype(entry))};
}

bool has(const std::vector<MountPoint>& points, const MountPoint& wanted) {
    return std::ranges::find(points, wanted.id, &MountPoint::id) != points.end();
}

bool among(const std::vector<std::uint64_t>& numbers, std::uint64_t number) {
    return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

/// A btrfs has a device number of its own; its source tells what it lies on.
bool lies_on(libmnt_fs* entry, const std::vector<std::uint64_t>& numbers) {
    if (among(numbers, mnt_fs_get_devno(entry))) {
        return true;
    }
    struct stat status {};
    const std::string source = text_of(mnt_fs_get_source(entry));
    return source.starts_with("/dev/") && stat(source.c_str(), &status) == 0 && S_ISBLK(status.st_mode) &&
           among(numbers, status.st_rdev);
}

int error_number_of(libmnt_context* context, int result) {
    return mnt_context_syscall_called(context) != 0 ? mnt_context_get_syscall_errno(context) : -result;
}

/// The words of libmount for what went wrong.
std::string words_of(libmnt_context* context, int result) {
    std::array<char, 512> text{};
    mnt_context_get_excode(context, result, text.data(), text.size());
    if (text.front() != '\0') {
        return text.data();
    }
    return std::generic_category().message(error_number_of(context, result));
}

/// A file system whose last user was killed has a journal to be replayed, and no file system does that on a
/// device which cannot be written. Empty: that is not why, or there is no way around it.
std::string way_around_journal(const MountRequest& request, int error_number) {
    if (!request.read_only || error_number != EROFS) {
        return {};
    }
    const std::string option = request.type == "ext3" || request.type == "ext4" ? "noload"
                               : request.type == "xfs"                          ? "norecovery"
                               : request.type == "btrfs"                        ? "rescue=nologreplay"
                                                                                : "";
    return option.empty() ? ""
                          : fmt::format(". If it was not unmounted, its journal waits to be replayed, which "
                                        "needs a device that can be written: mount it once without -r, or pass "
                                        "over the journal with -o {}",
                                        option);
}

void set_options(libmnt_context* context, const std::string& options) {
    if (!options.empty() && mnt_context_set_options(context, options.c_str()) != 0) {
        throw PloopError(Exit::mount, ErrorCode::usage,
                         fmt::format("\"{}\" cannot be read as mount options", options));
    }
}

/// Who keeps it: processes, and what is mounted in it besides `before`. Empty: nobody that can be seen.
std::string users_of(const MountPoint& point, const std::vector<MountPoint>& before) {
    std::string users = users_of_mount(point);
    each_mount([&](libmnt_fs* entry) {
        const MountPoint other = point_of(entry);
        if (other.path.starts_with(point.path + "/") && !has(before, other)) {
            users += (users.empty() ? "" : ", ") + fmt::format("the mount at {}", other.path);
        }
    });
    return users;
}

[[noreturn]] void refuse_covered(const MountPoint& point, const MountPoint& uppermost) {
    throw PloopError(Exit::unmount, ErrorCode::locked,
                     fmt::format("{} cannot be unmounted: {} ({}) is mounted over it. Unmount that first",
                                 point.path, uppermost.source, uppermost.filesystem),
                     Reason::image_in_use);
}

[[noreturn]] void refuse_busy(const MountPoint& point, const std::string& users) {
    throw PloopError(Exit::unmount, ErrorCode::locked,
                     fmt::format("Can't unmount {}: it is in use by {}", point.path, users),
                     Reason::image_in_use);
}

} // namespace

std::vector<std::uint64_t> device_numbers_of(const DeviceState& device) {
    try {
        return device.loop.empty() ? std::vector<std::uint64_t>{} : disktool::device_numbers_of(device.loop);
    } catch (const Error&) {
        return {};
    }
}

std::vector<MountPoint> mount_points_of(const DeviceState& device) {
    return mount_points_of(std::vector<DeviceState>{device});
}

std::vector<MountPoint> mount_points_of(const std::vector<DeviceState>& devices) {
    std::vector<MountPoint> points;
    std::vector<std::uint64_t> numbers;
    for (const DeviceState& device : devices) {
        const std::vector<std::uint64_t> more = device_numbers_of(device);
        numbers.insert(numbers.end(), more.begin(), more.end());
    }
    each_mount([&](libmnt_fs* entry) {
        if (lies_on(entry, numbers)) {
            points.push_back(point_of(entry));
        }
    });
    return points;
}

std::optional<MountPoint> mounted_on(const std::string& folder) {
    std::error_code error;
    std::filesystem::path path = std::filesystem::canonical(folder, error);
    if (error) { // its server is dead: it is still known by its name
        path = std::filesystem::absolute(folder, error).lexically_normal();
    }
    std::optional<MountPoint> found;
    each_mount([&](libmnt_fs* entry) {
        if (path.native() == text_of(mnt_fs_get_target(entry))) {
            found = point_of(entry);
        }
    });
    return found;
}

std::vector<MountPoint> mount_points_of_type(const std::string& filesystem) {
    std::vector<MountPoint> points;
    each_mount([&](libmnt_fs* entry) {
        if (filesystem == text_of(mnt_fs_get_fstype(entry))) {
            points.push_back(point_of(entry));
        }
    });
    return points;
}

std::string filesystem_node(const DeviceState& device) {
    if (device.partitions.empty()) {
        return device.node;
    }
    return std::min_element(device.partitions.begin(), device.partitions.end(),
                            [](const DevicePartition& one, const DevicePartition& other) {
                                return one.number < other.number;
                            })
        ->node;
}

std::optional<std::string> filesystem_type(const std::string& node) {
    const Owned<blkid_struct_probe> probe(blkid_new_probe_from_filename(node.c_str()));
    if (!probe) {
        return std::nullopt;
    }
    blkid_probe_enable_superblocks(probe.get(), 1);
    blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE);
    const char* type = nullptr;
    if (blkid_do_safeprobe(probe.get()) != 0 ||
        blkid_probe_lookup_value(probe.get(), "TYPE", &type, nullptr) != 0) {
        return std::nullopt;
    }
    return type;
}

void mount_filesystem(const MountRequest& request) {
    const Owned<libmnt_context> context = owned(mnt_new_context());
    set_options(context.get(), request.options);
    mnt_context_set_source(context.get(), request.node.c_str());
    mnt_context_set_target(context.get(), request.folder.c_str());
    mnt_context_set_fstype(context.get(), request.type.c_str());
    if (request.read_only) {
        mnt_context_append_options(context.get(), "ro");
    }
    const int result = mnt_context_mount(context.get());
    if (result != 0 || mnt_context_get_status(context.get()) != 1) {
        throw PloopError(Exit::mount, ErrorCode::failure,
                         fmt::format("Can't mount {} at {} as {}: {}{}", request.node, request.folder,
                                     request.type, words_of(context.get(), result),
                                     way_around_journal(request, error_number_of(context.get(), result))));
    }
}

void remount_filesystem(const std::string& folder, const std::string& options) {
    const Owned<libmnt_context> context = owned(mnt_new_context());
    set_options(context.get(), options);
    mnt_context_append_options(context.get(), "remount");
    mnt_context_set_target(context.get(), folder.c_str());
    mnt_context_disable_helpers(context.get(), 1);
    const int result = mnt_context_mount(context.get());
    if (result != 0 || mnt_context_get_status(context.get()) != 1) {
        throw PloopError(
            Exit::mount, ErrorCode::failure,
            fmt::format("Can't change the mount at {}: {}", folder, words_of(context.get(), result)));
    }
}

void unmount(const MountPoint& point, const UnmountPatience& patience) {
    for (int left = patience.tries;; --left) {
        const std::optional<MountPoint> uppermost = mounted_on(point.path);
        if (!uppermost) {
            return; // someone else was faster
        }
        if (uppermost->id != point.id) {
            refuse_covered(point, *uppermost);
        }
        const Owned<libmnt_context> context = owned(mnt_new_context());
        mnt_context_set_target(context.get(), point.path.c_str());
        // umount.ploop would only call us again.
        mnt_context_disable_helpers(context.get(), 1);
        const int result = mnt_context_umount(context.get());
        if (result == 0 && mnt_context_get_status(context.get()) == 1) {
            return;
        }
        if (error_number_of(context.get(), result) != EBUSY) {
            throw PloopError(Exit::unmount, ErrorCode::failure,
                             fmt::format("Can't unmount {}: {}", point.path, words_of(context.get(), result)));
        }
        if (left <= 1) {
            const std::string users = users_of(point, {});
            refuse_busy(point, users.empty()
                                   ? "something that /proc does not show (another mount name space, the kernel)"
                                   : users);
        }
        std::this_thread::sleep_for(patience.pause);
    }
}

void refuse_unmount(const MountPoint& point, const std::vector<MountPoint>& before) {
    const std::optional<MountPoint> uppermost = mounted_on(point.path);
    if (uppermost && uppermost->id != point.id && !has(before, *uppermost)) {
        refuse_covered(point, *uppermost);
    }
    if (const std::string users = users_of(point, before); !users.empty()) {
        refuse_busy(point, users);
    }
}

} // namespace disktool::ploop::cli
