// SPDX-License-Identifier: LGPL-2.1-or-later
#include "log.h"

#include "big_endian.h"
#include "checksum.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

namespace disktool::xfs {

namespace {

// The log is a ring of blocks of 512 bytes, whatever the sector size. Each begins with the number of the round
// in which it was written (the cycle), a record's header with a magic number before it.
// Source: "XFS Algorithms & Data Structures", Journaling Log.
constexpr std::uint64_t log_block = 512;
constexpr std::uint32_t magic_record = 0xfeedbabe;

/// Byte offsets in a record's header.
enum Field : std::size_t {
    h_magicno = 0,
    h_cycle = 4,
    h_version = 8,
    h_len = 12, ///< bytes of the body, behind the header
    h_lsn = 16, ///< cycle and block number of this record
    h_crc = 32,
    h_num_logops = 40,
    h_fs_uuid = 304,
    h_size = 320, ///< of version 2: the size of buffers, which says how long the header is
};
/// Byte offset in the header of an operation, the first thing in a record's body.
constexpr std::size_t oh_flags = 9;
constexpr std::uint8_t unmount_flag = 0x20;

/// Of a header block behind the first: a cycle number and the first words of 64 blocks.
constexpr std::size_t extended_header_length = 4 + 64 * 4;
constexpr std::uint32_t largest_record = 256 << 10;
constexpr std::uint32_t cycles_per_header = 32
                                            << 10; ///< bytes of body whose first words one header block keeps
/// The kernel has at most 8 buffers of 256 KiB on their way to disk, in any order.
constexpr std::uint64_t in_flight = 8 * largest_record / log_block;
/// The longest record with its header.
constexpr std::uint64_t record_blocks =
    (largest_record + largest_record / cycles_per_header * log_block) / log_block;

class Log {
  public:
    Log(BlockDevice& device, const Superblock& super)
        : device_(device), super_(super),
          start_(super.offset(static_cast<std::uint32_t>(super.log_place().group), super.log_place().block)),
          blocks_(std::uint64_t{super.log_blocks} * super.block_size / log_block) {}

    LogVerdict verdict();

  private:
    struct Head {
        std::uint64_t block = 0; ///< where the next record would go
        std::uint32_t cycle = 0; ///< of what was written last
        std::uint32_t previous =
            0; ///< of what lies from the head to the end: the round before, or never written
    };

    std::vector<std::byte> read(std::uint64_t block, std::uint64_t count);
    std::uint32_t cycle(std::uint64_t block);
    static std::uint32_t cycle_of(std::span<const std::byte> block);
    bool all_zero();
    Head find_head(std::uint32_t first, std::uint32_t last);
    bool written_after(const Head& head);
    std::optional<LogVerdict> unmounted_at(const Head& head);
    LogVerdict damaged(std::string_view what) const {
        return {LogCondition::damaged, fmt::format("its log (at byte {}) {}", start_, what)};
    }

    BlockDevice& device_;
    const Superblock& super_;
    std::uint64_t start_;  ///< byte offset on the device
    std::uint64_t blocks_; ///< of 512 bytes
};

/// `count` blocks from `block` on, around the end of the ring where it comes.
std::vector<std::byte> Log::read(std::uint64_t block, std::uint64_t count) {
    std::vector<std::byte> buffer(count * log_block);
    const std::uint64_t before_end = std::min(count, blocks_ - block);
    const std::span<std::byte> all(buffer);
    device_.read(start_ + block * log_block, all.first(before_end * log_block));
    if (before_end < count)
        device_.read(start_, all.subspan(before_end * log_block));
    return buffer;
}

std::uint32_t Log::cycle_of(std::span<const std::byte> block) {
    return be32(block, h_magicno) == magic_record ? be32(block, h_cycle) : be32(block, 0);
}

std::uint32_t Log::cycle(std::uint64_t block) {
    return cycle_of(read(block, 1));
}

bool Log::all_zero() {
    std::vector<std::byte> buffer(1 * MiB);
    for (const Extent& extent : device_.extents({start_, blocks_ * log_block})) {
        if (extent.kind != ExtentKind::data)
            continue;
        for (std::uint64_t at = extent.range.offset; at < extent.range.end(); at += buffer.size()) {
            const auto piece =
                std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), extent.range.end() - at));
            device_.read(at, piece);
            if (std::ranges::any_of(piece, [](std::byte byte) { return byte != std::byte{0}; }))
                return false;
        }
    }
    return true;
}

/// The boundary between this round and the one before it, by bisection.
Log::Head Log::find_head(std::uint32_t first, std::uint32_t last) {
    if (first == last)
        return {0, first, first}; // the last record ends exactly where the ring does
    std::uint64_t written = 0;
    std::uint64_t head = blocks_ - 1;
    while (head - written > 1) {
        const std::uint64_t middle = written + (head - written) / 2;
        (cycle(middle) == first ? written : head) = middle;
    }
    return {head, first, last};
}

/// Blocks of this round behind the head were on their way when the machine went down, or the copy was taken.
/// The kernel would pass over them, since what came before them is lost; for us somebody was at work here.
/// (Zeros are none: xfs_db leaves some when it makes a log anew.)
bool Log::written_after(const Head& head) {
    if (head.cycle == head.previous)
        return false;
    const std::uint64_t count = std::min(in_flight, blocks_ - head.block);
    const std::vector<std::byte> buffer = read(head.block, count);
    for (std::uint64_t i = 0; i < count; ++i)
        if (cycle_of(std::span(buffer).subspan(i * log_block, log_block)) == head.cycle)
            return true;
    return false;
}

/// mkfs.xfs and xfs_repair store none (0). It is of those header blocks that the body needs, of each only what
/// the kernel fills; the first one ends with 4 bytes of padding where the kernel was compiled for a machine
/// that pads.
bool checksum_right(std::span<const std::byte> record, std::uint64_t headers) {
    const std::uint32_t stored = stored_checksum(record, h_crc);
    const std::uint32_t length = be32(record, h_len);
    if (stored == 0)
        return true;
    constexpr std::array<std::byte, 4> zeros{};
    for (const std::size_t header_length : {328u, 324u}) {
        Crc32c crc;
        crc.process_bytes(record.data(), h_crc);
        crc.process_bytes(zeros.data(), zeros.size());
        crc.process_bytes(record.data() + h_crc + 4, header_length - h_crc - 4);
        for (std::uint64_t i = 1; i < divide_up(length, cycles_per_header); ++i)
            crc.process_bytes(record.data() + i * log_block, extended_header_length);
        crc.process_bytes(record.data() + headers * log_block, length);
        if (crc.checksum() == stored)
            return true;
    }
    return false;
}

/// Is the record that ends at the head the one that an unmount writes? Then it is the only operation in it.
std::optional<LogVerdict> Log::unmounted_at(const Head& head) {
    const std::uint64_t window = std::min(record_blocks, blocks_);
    const std::uint64_t window_start = (head.block + blocks_ - window) % blocks_;
    const std::vector<std::byte> buffer = read(window_start, window);
    std::uint64_t at = window;
    while (at > 0 && be32(buffer, (at - 1) * log_block) != magic_record)
        --at;
    if (at == 0)
        return std::nullopt;
    const std::uint64_t header_block = at - 1;
    const auto record = std::span(buffer).subspan(header_block * log_block);
    const std::uint64_t place = (window_start + header_block) % blocks_;
    // One that goes around the end of the ring began in the round before.
    const std::uint32_t cycle = place < head.block ? head.cycle : head.previous;
    if (be32(record, h_cycle) != cycle || be64(record, h_lsn) != (std::uint64_t{cycle} << 32 | place))
        return std::nullopt;
    const Uuid uuid = uuid_at(record, h_fs_uuid);
    if (uuid != Uuid{} && uuid != super_.uuid)
        return damaged("belongs to a file system with another UUID");

    const std::uint32_t version = be32(record, h_version);
    const std::uint32_t buffers = be32(record, h_size);
    const std::uint64_t headers =
        version == 2 && buffers > cycles_per_header ? divide_up(buffers, cycles_per_header) : 1;
    const std::uint64_t body = divide_up(be32(record, h_len), log_block);
    if ((version != 1 && version != 2) || buffers > largest_record || body == 0 ||
        header_block + headers + body != window || be32(record, h_num_logops) != 1)
        return std::nullopt;
    const auto operation = record.subspan(headers * log_block);
    if ((std::to_integer<std::uint8_t>(operation[oh_flags]) & unmount_flag) == 0)
        return std::nullopt;
    if (!checksum_right(record, headers))
        return std::nullopt;
    return LogVerdict{LogCondition::clean, ""};
}

LogVerdict Log::verdict() {
    const std::uint32_t first = cycle(0);
    const std::uint32_t last = cycle(blocks_ - 1);
    if (first == 0)
        return all_zero() ? LogVerdict{LogCondition::clean, ""} : damaged("starts with zeros and is not empty");
    if (first != last && first != last + 1)
        return damaged(fmt::format("starts in round {} and ends in round {}", first, last));
    const Head head = find_head(first, last);
    const std::optional<LogVerdict> end = unmounted_at(head);
    if (end && (end->condition != LogCondition::clean || !written_after(head)))
        return *end;
    return {LogCondition::dirty, ""};
}

} // namespace

LogVerdict read_log(BlockDevice& device, const Superblock& super) {
    return Log(device, super).verdict();
}

} // namespace disktool::xfs
