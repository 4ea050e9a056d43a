// SPDX-License-Identifier: LGPL-2.1-or-later
// The lvm2 plugin on hostile physical volumes. Input: a byte of flags, then sectors of a disk (sector_list.h).
// An Error is a good answer; any other exception, a crash, a map that contradicts the volumes, or a time-out is
// a finding.
#include "fields.h"
#include "lvm2_plugin.h"
#include "sector_list.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <cstdlib>
#include <vector>

namespace disktool::lvm2 {
namespace {

constexpr std::uint64_t disk_size = 64 * MiB;
constexpr std::uint8_t flag_seal = 1; ///< make the checksums right, so that the fuzzer gets behind them
constexpr std::uint64_t area = 4096;  ///< where pvcreate puts the first metadata area

void seal(SectorList& disk, std::uint64_t at, std::uint64_t from, std::uint64_t to, std::uint64_t sum_at) {
    std::vector<std::byte> bytes(to - from);
    disk.read(at + from, bytes);
    const std::uint32_t sum = checksum(bytes);
    std::byte field[4];
    for (unsigned i = 0; i < 4; ++i)
        field[i] = static_cast<std::byte>(sum >> (8 * i) & 0xff);
    disk.put(at + sum_at, field);
}

void seal_all(SectorList& disk) {
    std::vector<std::byte> header(512);
    disk.read(area, header);
    const auto size = load_le<std::uint64_t>(header, 32);
    const auto offset = load_le<std::uint64_t>(header, 40);
    const auto length = load_le<std::uint64_t>(header, 48);
    if (size <= MiB && offset < size && length <= size - offset)
        seal(disk, area, offset, offset + length, 0);
    disk.read(area, header); // the text's sum was put where the header's belongs
    std::vector<std::byte> sum(header.begin(), header.begin() + 4);
    disk.put(area + 56, sum);
    seal(disk, area, 4, 512, 0);
    for (std::uint64_t sector = 0; sector < 4; ++sector)
        seal(disk, sector * 512, 20, 512, 16);
}

void demand(bool condition) {
    if (!condition)
        std::abort();
}

void open_and_look(SectorList& disk) {
    Plugin plugin;
    const int confidence = plugin.probe(disk);
    demand(confidence >= 0 && confidence <= 100);
    const std::unique_ptr<Volumes> volumes = plugin.open(disk);
    volumes->state();
    volumes->details();
    demand(volumes->extent_size() > 0 && volumes->first_extent() <= disk.size());
    const FilesystemUsage usage = volumes->usage();
    demand(usage.size <= disk.size() && usage.free <= usage.size);
    demand(volumes->minimum_size().bytes <= usage.size);
    const ExtentSet free = volumes->free_extents();
    demand(free.empty() || free.span().end() <= usage.size);
    demand(free.total() == usage.free);
    demand(volumes->last_volume() < static_cast<int>(volumes->volumes().size()));
    for (const Volume& volume : volumes->volumes()) {
        demand((volume.device == nullptr) == !volume.problem.empty());
        if (volume.device == nullptr)
            continue;
        demand(volume.size() == volume.device->size() && volume.size() <= disk.size());
        const ExtentSet places = volumes->to_device(volume, ExtentSet(Range{0, volume.size()}));
        demand(places.total() == volume.size());
        demand(places.intersect(free).empty());
        std::vector<std::byte> end(std::min<std::uint64_t>(volume.size(), 4096));
        volume.device->read(volume.size() - end.size(), end);
    }
}

} // namespace
} // namespace disktool::lvm2

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0)
        return 0;
    disktool::SectorList disk(std::as_bytes(std::span(data, size).subspan(1)), disktool::lvm2::disk_size);
    try {
        if ((data[0] & disktool::lvm2::flag_seal) != 0)
            disktool::lvm2::seal_all(disk);
        disktool::lvm2::open_and_look(disk);
    } catch (const disktool::Error&) { // the answer to damage
    }
    return 0;
}
