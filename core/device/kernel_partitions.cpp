// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/kernel_partitions.h"

#include <disktool/doors.h>
#include <disktool/error.h>

#include <fmt/format.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

namespace disktool {

namespace {

constexpr std::uint64_t sysfs_sector = 512; // whatever the disk's own sectors are

std::string folder_of_number(dev_t number) {
    return fmt::format("/sys/dev/block/{}:{}", major(number), minor(number));
}

std::string folder_of(int disk) {
    struct stat status {};
    if (fstat(disk, &status) != 0 || !S_ISBLK(status.st_mode)) {
        throw Error(ErrorCode::failure, "Partitions are asked of what is no block device");
    }
    return folder_of_number(status.st_rdev);
}

/// "loop3", for messages.
std::string name_of(int disk) {
    return std::filesystem::path(real_doors().files.real_path(folder_of(disk))).filename();
}

template <typename T>
std::optional<T> attribute(const std::string& folder, const char* name) {
    std::ifstream file(folder + "/" + name);
    T value{};
    return file >> value ? std::optional<T>(value) : std::nullopt;
}

/// None: that is none, or it has gone meanwhile.
std::optional<KernelPartition> partition_in(const std::string& folder) {
    const auto number = attribute<int>(folder, "partition");
    const auto start = attribute<std::uint64_t>(folder, "start");
    const auto size = attribute<std::uint64_t>(folder, "size");
    std::ifstream file(folder + "/dev");
    unsigned first = 0, second = 0;
    char colon = 0;
    if (!number || !start || !size || !(file >> first >> colon >> second)) {
        return std::nullopt;
    }
    return KernelPartition{*number, {*start * sysfs_sector, *size * sysfs_sector}, makedev(first, second)};
}

std::vector<KernelPartition> partitions_below(const std::string& folder) {
    std::vector<KernelPartition> partitions;
    FileDoor& files = real_doors().files;
    const std::string disk_name = std::filesystem::path(files.real_path(folder)).filename();
    for (const std::string& name : files.list(folder)) {
        if (!name.starts_with(disk_name)) { // an attribute of the disk
            continue;
        }
        if (const auto partition = partition_in(folder + "/" + name)) {
            partitions.push_back(*partition);
        }
    }
    std::sort(
        partitions.begin(), partitions.end(),
        [](const KernelPartition& one, const KernelPartition& other) { return one.number < other.number; });
    return partitions;
}

/// 0 or the errno value.
int tell(int disk, int operation, int number, Range range) {
    blkpg_partition partition{};
    partition.pno = number;
    partition.start = static_cast<long long>(range.offset);
    partition.length = static_cast<long long>(range.length);
    blkpg_ioctl_arg argument{operation, 0, sizeof partition, &partition};
    return ioctl(disk, BLKPG, &argument) == 0 ? 0 : errno;
}

[[noreturn]] void refuse(int disk, const char* what, int number, int error_number) {
    if (error_number == EBUSY) {
        throw Error(ErrorCode::locked,
                    fmt::format("Partition {} of {} cannot be {}, it is in use: unmount it first", number,
                                name_of(disk), what),
                    Reason::image_in_use);
    }
    throw SystemError(fmt::format("The kernel does not let partition {} be {}:", number, what), name_of(disk),
                      error_number);
}

const KernelPartition* find(const std::vector<KernelPartition>& partitions, int number) {
    const auto found = std::find_if(partitions.begin(), partitions.end(),
                                    [&](const KernelPartition& one) { return one.number == number; });
    return found == partitions.end() ? nullptr : &*found;
}

} // namespace

std::vector<KernelPartition> kernel_partitions(int disk) {
    return partitions_below(folder_of(disk));
}

std::vector<KernelPartition> kernel_partitions_of(std::uint64_t device_number) {
    return partitions_below(folder_of_number(device_number));
}

std::vector<KernelPartition> set_kernel_partitions(int disk, const std::vector<KernelPartition>& wanted) {
    std::vector<KernelPartition> stay, removed;
    for (const KernelPartition& there : kernel_partitions(disk)) {
        const KernelPartition* const same = find(wanted, there.number);
        if (same != nullptr && same->range.offset == there.range.offset) {
            stay.push_back(there);
            continue;
        }
        if (const int error = tell(disk, BLKPG_DEL_PARTITION, there.number, there.range);
            error != 0 && error != ENXIO) {
            for (const KernelPartition& again : removed) {
                tell(disk, BLKPG_ADD_PARTITION, again.number, again.range);
            }
            refuse(disk, same == nullptr ? "removed" : "moved", there.number, error);
        }
        removed.push_back(there);
    }
    // Smaller ones first, since no two may overlap for a moment.
    for (const bool smaller : {true, false}) {
        for (const KernelPartition& there : stay) {
            const Range range = find(wanted, there.number)->range;
            if (range.length != there.range.length && (range.length < there.range.length) == smaller) {
                resize_kernel_partition(disk, there.number, range);
            }
        }
    }
    for (const KernelPartition& one : wanted) {
        if (find(stay, one.number) == nullptr) {
            if (const int error = tell(disk, BLKPG_ADD_PARTITION, one.number, one.range)) {
                refuse(disk, "added", one.number, error);
            }
        }
    }
    return kernel_partitions(disk);
}

void resize_kernel_partition(int disk, int number, Range range) {
    if (const int error = tell(disk, BLKPG_RESIZE_PARTITION, number, range)) {
        refuse(disk, "given another size", number, error);
    }
}

} // namespace disktool
