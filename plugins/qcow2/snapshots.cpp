// SPDX-License-Identifier: LGPL-2.1-or-later
#include "snapshots.h"

#include "big_endian.h"
#include "damage.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

namespace disktool::qcow2 {

namespace {

constexpr std::size_t fixed_length = 40;
constexpr std::size_t extra_known = 16;                                  ///< bytes of extra data that we read
constexpr std::uint32_t max_extra = 1024;                                ///< as QEMU
constexpr std::uint64_t max_table = std::uint64_t{max_snapshots} * 1024; ///< bytes, as QEMU

std::string read_text(File& file, std::uint64_t offset, std::size_t length) {
    std::string text(length, '\0');
    file.read(offset, std::as_writable_bytes(std::span(text)));
    return text;
}

} // namespace

SnapshotTable read_snapshots(File& file, const Header& header) {
    SnapshotTable table;
    const std::uint64_t file_size = file.status().size;
    std::uint64_t at = header.snapshot_offset;
    for (std::uint32_t i = 0; i < header.snapshot_count; ++i) {
        std::array<std::byte, fixed_length + extra_known> buffer{};
        const std::span<std::byte> head = buffer;
        file.read(at, head.first(fixed_length));
        Snapshot snapshot;
        snapshot.l1_offset = load_big_endian<std::uint64_t>(head, 0);
        snapshot.l1_size = load_big_endian<std::uint32_t>(head, 8);
        const auto id_length = load_big_endian<std::uint16_t>(head, 12);
        const auto name_length = load_big_endian<std::uint16_t>(head, 14);
        snapshot.info.created = load_big_endian<std::uint32_t>(head, 16);
        snapshot.info.vm_state_size = load_big_endian<std::uint32_t>(head, 32);
        const auto extra_length = load_big_endian<std::uint32_t>(head, 36);
        if (extra_length > max_extra) {
            throw_damaged(file.path(),
                          fmt::format("snapshot {} at offset {} has {} bytes of extra data; no more than "
                                      "{} are possible",
                                      i, at, extra_length, max_extra));
        }
        file.read(at + fixed_length,
                  head.subspan(fixed_length, std::min<std::size_t>(extra_length, extra_known)));
        if (extra_length >= 8) {
            snapshot.info.vm_state_size = load_big_endian<std::uint64_t>(head, fixed_length);
        }
        snapshot.info.virtual_size = extra_length >= extra_known
                                         ? load_big_endian<std::uint64_t>(head, fixed_length + 8)
                                         : header.virtual_size;
        const std::uint64_t names = at + fixed_length + extra_length;
        snapshot.info.id = read_text(file, names, id_length);
        snapshot.info.name = read_text(file, names + id_length, name_length);
        if (snapshot.l1_size > max_l1_bytes / 8) {
            throw_damaged(file.path(),
                          fmt::format("snapshot {} at offset {} has an L1 table of {} entries; no more "
                                      "than {} are possible",
                                      i, at, snapshot.l1_size, max_l1_bytes / 8));
        }
        if (snapshot.l1_size != 0) {
            check_place(file.path(), fmt::format("the L1 table of snapshot {} (at offset {})", i, at),
                        {snapshot.l1_offset, std::uint64_t{snapshot.l1_size} * 8}, header.cluster_size(),
                        file_size);
        }
        at = round_up(names + id_length + name_length, 8);
        if (at - header.snapshot_offset > max_table) {
            throw_damaged(file.path(), fmt::format("the snapshot table at offset {} is longer than {} bytes",
                                                   header.snapshot_offset, max_table));
        }
        table.snapshots.push_back(std::move(snapshot));
    }
    if (header.snapshot_count != 0) {
        table.range = {header.snapshot_offset, at - header.snapshot_offset};
    }
    return table;
}

} // namespace disktool::qcow2
