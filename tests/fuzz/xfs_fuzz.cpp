// SPDX-License-Identifier: LGPL-2.1-or-later
// The fs-xfs plugin on hostile file systems. Input: a byte of flags, then the sectors of a disk of zeros that
// hold something: number, length and bytes of each. An Error is a good answer; any other exception, a crash, a
// map that contradicts the file system's own figures or a time-out is a finding.
#include "checksum.h"
#include "superblock.h"
#include "xfs_plugin.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

namespace disktool::xfs {
namespace {

constexpr std::uint64_t disk_size = 64 * MiB;
constexpr std::uint64_t sector = 512;
constexpr std::uint8_t flag_seal = 1; ///< make the checksums right, so that the fuzzer gets behind them

class Disk : public BlockDevice {
  public:
    explicit Disk(std::span<const std::byte> input) {
        while (input.size() > 6) {
            const std::uint64_t number = little_endian(input.first(4)) % (disk_size / sector);
            const std::size_t length =
                std::min<std::size_t>({little_endian(input.subspan(4, 2)), sector, input.size() - 6});
            std::vector<std::byte>& content = sectors_[number];
            content.assign(sector, std::byte{0});
            std::copy_n(input.begin() + 6, length, content.begin());
            input = input.subspan(6 + length);
        }
    }

    std::uint64_t size() const override { return disk_size; }
    std::string name() const override { return "disk"; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        check_range(offset, buffer.size());
        std::ranges::fill(buffer, std::byte{0});
        const std::uint64_t end = offset + buffer.size();
        for (auto at = sectors_.lower_bound(offset / sector); at != sectors_.end() && at->first * sector < end;
             ++at) {
            const std::uint64_t start = std::max(offset, at->first * sector);
            const std::uint64_t stop = std::min(end, (at->first + 1) * sector);
            std::copy_n(at->second.data() + start % sector, stop - start, buffer.data() + (start - offset));
        }
    }
    /// In a sector that the input has.
    void put(std::uint64_t offset, std::uint32_t number) {
        if (const auto found = sectors_.find(offset / sector); found != sectors_.end())
            for (std::size_t i = 0; i < 4; ++i)
                found->second[offset % sector + i] = std::byte(number >> (8 * i) & 0xff);
    }
    const std::map<std::uint64_t, std::vector<std::byte>>& sectors() const { return sectors_; }

  private:
    static std::uint64_t little_endian(std::span<const std::byte> bytes) {
        std::uint64_t value = 0;
        for (std::size_t i = bytes.size(); i-- > 0;)
            value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
        return value;
    }

    std::map<std::uint64_t, std::vector<std::byte>> sectors_; ///< by number
};

void seal(Disk& disk, std::uint64_t offset, std::uint64_t length, std::size_t field) {
    if (offset > disk_size || length > disk_size - offset)
        return;
    std::vector<std::byte> bytes(length);
    disk.read(offset, bytes);
    disk.put(offset + field, checksum(bytes, field));
}

/// Whatever looks like a structure that has a checksum.
void seal_all(Disk& disk) {
    const auto super = Superblock::read(disk);
    if (!super || !super->features.has_checksums() || !super->defect().empty())
        return;
    const auto crc_field = [](const std::vector<std::byte>& content) -> std::size_t {
        const auto is = [&](const char* magic) { return std::memcmp(content.data(), magic, 4) == 0; };
        return is("XFSB") ? 224 : is("XAGF") ? 216 : is("XAGI") ? 312 : is("XAFL") ? 32 : is("AB3B") ? 52 : 0;
    };
    for (const auto& [number, content] : disk.sectors())
        if (const std::size_t field = crc_field(content); field != 0)
            seal(disk, number * sector, field == 52 ? super->block_size : super->sector_size, field);
}

void demand(bool condition) {
    if (!condition)
        std::abort();
}

void open_and_look(Disk& disk) {
    Plugin plugin;
    const int confidence = plugin.probe(disk);
    demand(confidence >= 0 && confidence <= 100);
    const std::unique_ptr<Filesystem> filesystem = plugin.open(disk);
    const FilesystemUsage usage = filesystem->usage();
    demand(usage.size <= disk.size() && usage.free <= usage.size);
    filesystem->details();
    filesystem->can_grow();
    if (!filesystem->state().free_map_trusted)
        return;
    demand(filesystem->minimum_size().bytes == usage.size);
    const ExtentSet free = filesystem->free_extents();
    demand(free.empty() || free.span().end() <= usage.size);
    demand(free.total() <= usage.free);
    demand(!free.intersects({0, 4 * sector}));
}

} // namespace
} // namespace disktool::xfs

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0)
        return 0;
    disktool::xfs::Disk disk(std::as_bytes(std::span(data, size).subspan(1)));
    try {
        if ((data[0] & disktool::xfs::flag_seal) != 0)
            disktool::xfs::seal_all(disk);
        disktool::xfs::open_and_look(disk);
    } catch (const disktool::Error&) { // the answer to damage
    }
    return 0;
}
