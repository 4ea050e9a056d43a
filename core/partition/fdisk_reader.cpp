// SPDX-License-Identifier: LGPL-2.1-or-later
#include "partition/fdisk_reader.h"

#include <disktool/error.h>
#include <disktool/log.h>

#include <fmt/format.h>
#include <libfdisk/libfdisk.h>

#include <cerrno>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>

namespace disktool {
namespace {

using Context = std::unique_ptr<fdisk_context, decltype(&fdisk_unref_context)>;
using Table = std::unique_ptr<fdisk_table, decltype(&fdisk_unref_table)>;
using Iterator = std::unique_ptr<fdisk_iter, decltype(&fdisk_free_iter)>;
using Text = std::unique_ptr<char, decltype(&std::free)>;

/// libfdisk's talk. Our own checks have said what matters, in full sentences; this is for the log.
int note_message(fdisk_context*, fdisk_ask* ask, void* data) {
    switch (fdisk_ask_get_type(ask)) {
    case FDISK_ASKTYPE_WARN:
    case FDISK_ASKTYPE_WARNX:
    case FDISK_ASKTYPE_INFO: {
        auto& last = *static_cast<std::string*>(data);
        const char* message = fdisk_ask_print_get_mesg(ask);
        last = message != nullptr ? message : "";
        log(LogLevel::debug, "libfdisk: " + last);
        return 0;
    }
    default:
        return -EINVAL; // a question: nobody is there to answer
    }
}

std::string text_or_empty(const char* text) {
    return text != nullptr ? text : "";
}

std::string type_text(TableType table, fdisk_parttype* type) {
    if (type == nullptr) {
        return {};
    }
    return table == TableType::mbr ? fmt::format("{:x}", fdisk_parttype_get_code(type))
                                   : text_or_empty(fdisk_parttype_get_string(type));
}

Range byte_range(const BlockDevice& disk, std::uint32_t sector_size, int number, fdisk_partition* entry) {
    const std::uint64_t start = fdisk_partition_get_start(entry);
    const std::uint64_t count = fdisk_partition_get_size(entry);
    const std::uint64_t sectors = disk.size() / sector_size;
    if (count == 0) {
        throw Error(
            ErrorCode::damaged,
            fmt::format("Partition {} of {} ends before it starts (at sector {}). Repair the table before "
                        "working on this disk.",
                        number, disk.name(), start),
            Reason::table_damaged);
    }
    if (start >= sectors || count > sectors - start) {
        constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
        const std::uint64_t end = start > most - count ? most : start + count;
        throw Error(
            ErrorCode::damaged,
            fmt::format("Partition {} of {} ends at byte {}, beyond the end of the disk ({} bytes). Repair "
                        "the table, or give the disk its full size again.",
                        number, disk.name(), end > most / sector_size ? most : end * sector_size, disk.size()),
            Reason::partition_beyond_end);
    }
    return {start * sector_size, count * sector_size};
}

Partition convert(const BlockDevice& disk, const PartitionTable& table, fdisk_partition* entry) {
    Partition partition;
    partition.number = static_cast<int>(fdisk_partition_get_partno(entry)) + 1;
    partition.range = byte_range(disk, table.sector_size, partition.number, entry);
    fdisk_parttype* type = fdisk_partition_get_type(entry);
    partition.type = type_text(table.type, type);
    partition.type_name = type != nullptr ? text_or_empty(fdisk_parttype_get_name(type)) : "";
    partition.bootable = fdisk_partition_is_bootable(entry) == 1;
    if (table.type == TableType::gpt) {
        partition.name = text_or_empty(fdisk_partition_get_name(entry));
        partition.uuid = text_or_empty(fdisk_partition_get_uuid(entry));
    } else {
        partition.extended = fdisk_partition_is_container(entry) == 1;
        partition.logical = fdisk_partition_is_nested(entry) == 1;
    }
    return partition;
}

} // namespace

void read_by_libfdisk(const BlockDevice& disk, const SparseCopy& copy, std::size_t expected,
                      PartitionTable& table) {
    const Context context(fdisk_new_context(), fdisk_unref_context);
    if (context == nullptr) {
        throw std::bad_alloc();
    }
    std::string message;
    fdisk_set_ask(context.get(), note_message, &message);
    fdisk_enable_listonly(context.get(), 1); // no search for file systems that collide with the table
    fdisk_save_user_sector_size(context.get(), table.sector_size, table.sector_size);
    const auto label = table.type == TableType::gpt ? FDISK_DISKLABEL_GPT : FDISK_DISKLABEL_DOS;
    fdisk_table* listed = nullptr;
    const bool read = fdisk_assign_device_by_fd(context.get(), copy.descriptor(), "disk", 1) == 0 &&
                      fdisk_is_labeltype(context.get(), label) == 1 &&
                      fdisk_get_partitions(context.get(), &listed) == 0;
    const Table partitions(listed, fdisk_unref_table);
    if (!read || fdisk_table_get_nents(listed) != expected) {
        throw Error(
            ErrorCode::damaged,
            fmt::format("The partition table of {} cannot be read with certainty: libfdisk {}{}{}. Repair it "
                        "(fdisk, gdisk) before working on this disk.",
                        disk.name(), read ? "sees another number of partitions than are stored" : "refuses it",
                        message.empty() ? "" : ": ", message),
            Reason::table_damaged);
    }

    char* id = nullptr;
    if (fdisk_get_disklabel_id(context.get(), &id) == 0) {
        const Text owned(id, std::free);
        table.id = text_or_empty(id);
    }
    const Iterator iterator(fdisk_new_iter(FDISK_ITER_FORWARD), fdisk_free_iter);
    if (iterator == nullptr) {
        throw std::bad_alloc();
    }
    fdisk_partition* entry = nullptr;
    while (fdisk_table_next_partition(listed, iterator.get(), &entry) == 0) {
        table.partitions.push_back(convert(disk, table, entry));
    }
}

} // namespace disktool
