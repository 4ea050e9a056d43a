// SPDX-License-Identifier: LGPL-2.1-or-later
#include "new_table.h"

#include "ploop_error.h"

#include <disktool/error.h>

#include <fmt/format.h>
#include <libfdisk/libfdisk.h>

#include <cstring>
#include <memory>

namespace disktool::ploop::cli {

namespace {

constexpr const char* linux_type = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
constexpr std::uint64_t sector = 512;
constexpr std::uint64_t first_usable = 34; ///< behind the protective MBR, the header and 128 entries

void check(int result, const char* what) {
    if (result < 0) {
        throw PloopError(Exit::make_filesystem, ErrorCode::failure,
                         fmt::format("The partition table of the new disk cannot be made: {}: {}", what,
                                     std::strerror(-result)));
    }
}

struct Unreference {
    void operator()(fdisk_context* context) const { fdisk_unref_context(context); }
    void operator()(fdisk_partition* partition) const { fdisk_unref_partition(partition); }
    void operator()(fdisk_parttype* type) const { fdisk_unref_parttype(type); }
};

} // namespace

Range make_table(const std::string& path, std::uint64_t disk_size, std::uint32_t cluster_sectors) {
    const std::uint64_t sectors = disk_size / sector;
    const std::uint64_t start = cluster_sectors;
    const std::uint64_t last = (sectors - cluster_sectors) / cluster_sectors * cluster_sectors;
    if (sectors < 4 * std::uint64_t{cluster_sectors} || last <= start) {
        throw PloopError(Exit::make_filesystem, ErrorCode::size_impossible,
                         fmt::format("A disk of {} sectors is too small for a partition between clusters of {}",
                                     sectors, cluster_sectors));
    }
    const std::unique_ptr<fdisk_context, Unreference> context(fdisk_new_context());
    fdisk_disable_dialogs(context.get(), 1);
    check(fdisk_save_user_grain(context.get(), sector), "its grain");
    check(fdisk_assign_device(context.get(), path.c_str(), 0), "opening the file");
    // Else it keeps the first MiB free, and a small cluster lies before its end.
    fdisk_set_first_lba(context.get(), first_usable);
    check(fdisk_create_disklabel(context.get(), "gpt"), "a new GPT");
    check(fdisk_enable_wipe(context.get(), 1), "removing what was there"); // of a device
    const std::unique_ptr<fdisk_partition, Unreference> partition(fdisk_new_partition());
    const std::unique_ptr<fdisk_parttype, Unreference> type(
        fdisk_label_parse_parttype(fdisk_get_label(context.get(), nullptr), linux_type));
    check(fdisk_partition_set_partno(partition.get(), 0), "its number");
    check(fdisk_partition_set_start(partition.get(), start), "its start");
    check(fdisk_partition_set_size(partition.get(), last - start + 1), "its size");
    check(fdisk_partition_set_type(partition.get(), type.get()), "its type");
    std::size_t number = 0;
    check(fdisk_add_partition(context.get(), partition.get(), &number), "adding the partition");
    check(fdisk_write_disklabel(context.get()), "writing it");
    check(fdisk_deassign_device(context.get(), 1), "closing the file");
    return {start * sector, (last - start + 1) * sector};
}

} // namespace disktool::ploop::cli
