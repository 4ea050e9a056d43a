// SPDX-License-Identifier: LGPL-2.1-or-later
// The partition reader, the growth of a GPT and the recognition of contents, on any bytes. Input: two bytes
// that choose the disk's size, the length of the tail in sectors, then the disk's first bytes, then its tail.
#include "partition/gpt.h"
#include "partition/little_endian.h"
#include "partition/table.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

namespace disktool {
namespace {

/// Bytes at both ends, zeros between.
class TwoEndedDisk : public BlockDevice {
  public:
    TwoEndedDisk(std::uint64_t size, std::vector<std::byte> head, std::vector<std::byte> tail)
        : size_(size), head_(std::move(head)), tail_(std::move(tail)) {}

    std::uint64_t size() const override { return size_; }
    std::string name() const override { return "disk"; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        check_range(offset, buffer.size());
        bytes_read_ += buffer.size();
        std::fill(buffer.begin(), buffer.end(), std::byte{0});
        overlay(0, head_, offset, buffer);
        overlay(size_ - tail_.size(), tail_, offset, buffer);
    }
    std::uint64_t bytes_read() const { return bytes_read_; }
    /// Makes the checksums of a header right, so that the fuzzer gets behind them.
    void seal() {
        for (const std::size_t sector_size : {512, 4096}) {
            seal_header(head_, sector_size, sector_size);
            seal_header(tail_, tail_.size() - std::min(tail_.size(), sector_size), sector_size);
        }
    }

  private:
    static void overlay(std::uint64_t at, const std::vector<std::byte>& piece, std::uint64_t offset,
                        std::span<std::byte> buffer) {
        const std::uint64_t from = std::max(at, offset);
        const std::uint64_t to = std::min(at + piece.size(), offset + buffer.size());
        if (from < to) {
            std::memcpy(buffer.data() + (from - offset), piece.data() + (from - at), to - from);
        }
    }
    void seal_header(std::vector<std::byte>& piece, std::size_t at, std::size_t sector_size) {
        if (at + sector_size > piece.size() || std::memcmp(piece.data() + at, "EFI PART", 8) != 0) {
            return;
        }
        const auto header = std::span(piece).subspan(at, sector_size);
        const std::size_t length = gpt_entries_length(header);
        const auto header_length = load_le<std::uint32_t>(header, gpt_field::header_size);
        const std::uint64_t lba = load_le<std::uint64_t>(header, gpt_field::entries_lba);
        if (header_length < gpt_field::end || header_length > sector_size || length > MiB ||
            lba > size_ / sector_size || length > size_ - lba * sector_size) {
            return;
        }
        std::vector<std::byte> entries(length);
        read(lba * sector_size, entries);
        seal_gpt_header(header, entries);
    }

    std::uint64_t size_;
    std::vector<std::byte> head_;
    std::vector<std::byte> tail_;
    std::uint64_t bytes_read_ = 0;
};

void expect(bool condition) {
    if (!condition) {
        std::abort();
    }
}

/// What every caller relies on.
void check(const BlockDevice& disk, const PartitionTable& table) {
    expect(table.areas.span().end() <= disk.size());
    for (const Partition& partition : table.partitions) {
        expect(partition.range.length != 0 && partition.range.offset < disk.size() &&
               partition.range.length <= disk.size() - partition.range.offset);
        expect(partition.extended || !table.areas.intersects(partition.range));
    }
}

void check(const std::vector<Patch>& patches, const PartitionTable& table, std::uint64_t new_size) {
    std::uint64_t end = 0;
    for (const Patch& patch : patches) {
        expect(patch.offset >= end && !patch.data.empty() && patch.data.size() <= 8 * MiB);
        end = patch.offset + patch.data.size();
        expect(end <= new_size);
        for (const Partition& partition : table.partitions) {
            expect(end <= partition.range.offset || partition.range.end() <= patch.offset);
        }
    }
}

void run(std::span<const std::byte> input) {
    constexpr std::array<std::uint64_t, 8> sizes{0,         512,     100 * KiB,  MiB,
                                                 100 * MiB, 3 * TiB, 1ull << 60, 1ull << 62};
    if (input.size() < 3) {
        return;
    }
    const auto choice = load_le<std::uint8_t>(input, 0);
    const auto tail_length = std::min<std::size_t>(load_le<std::uint8_t>(input, 2) * 512u, input.size() - 3);
    const auto head = input.subspan(3, input.size() - 3 - tail_length);
    const auto tail = input.last(tail_length);
    std::uint64_t size = sizes[choice % sizes.size()] + load_le<std::uint8_t>(input, 1);
    size = std::max<std::uint64_t>(size, head.size() + tail.size());
    TwoEndedDisk disk(size, {head.begin(), head.end()}, {tail.begin(), tail.end()});
    if ((choice & 0x80) != 0) {
        disk.seal();
    }
    try {
        identify_content(disk);
        const PartitionTable table = read_partition_table(disk);
        check(disk, table);
        for (const std::uint64_t more : {std::uint64_t{0}, std::uint64_t{512}, 100 * MiB}) {
            check(table_patches(disk, table, {size + more}), table, size + more);
        }
        if (const Partition* last = table.last()) {
            const std::uint64_t half = last->range.length / table.sector_size / 2 * table.sector_size;
            if (half != 0) {
                table_patches(disk, table, {size, last->number, last->range.offset + half});
            }
        }
    } catch (const Error&) {
        // refused
    }
    expect(disk.bytes_read() < 100 * MiB);
}

} // namespace
} // namespace disktool

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    disktool::run(std::as_bytes(std::span(data, size)));
    return 0;
}
