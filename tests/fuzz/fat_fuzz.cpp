// SPDX-License-Identifier: LGPL-2.1-or-later
// The fs-fat plugin on hostile file systems. Input: a byte of flags, then sectors of a disk (sector_list.h). An
// Error is a good answer; any other exception, a crash, a map that contradicts the figures, or a time-out is a
// finding.
#include "exfat_geometry.h"
#include "fat_geometry.h"
#include "fat_plugin.h"
#include "sector_list.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <cstdlib>
#include <vector>

namespace disktool::fat {
namespace {

constexpr std::uint64_t disk_size = 64 * MiB;
constexpr std::uint8_t flag_seal = 1; ///< make exFAT's checksum right, so that the fuzzer gets behind it

void seal(SectorList& disk) {
    std::vector<std::byte> sectors(11 * 512);
    disk.read(0, sectors);
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < sectors.size(); ++i)
        if (i != 106 && i != 107 && i != 112)
            sum = (sum << 31 | sum >> 1) + std::to_integer<std::uint32_t>(sectors[i]);
    std::vector<std::byte> sector(512);
    for (std::size_t i = 0; i < sector.size(); ++i)
        sector[i] = static_cast<std::byte>(sum >> (8 * (i % 4)) & 0xff);
    disk.put(sectors.size(), sector);
}

void demand(bool condition) {
    if (!condition)
        std::abort();
}

void open_and_look(SectorList& disk) {
    Plugin plugin;
    const int confidence = plugin.probe(disk);
    demand(confidence >= 0 && confidence <= 100);
    const std::unique_ptr<Filesystem> filesystem = plugin.open(disk);
    const FilesystemUsage usage = filesystem->usage();
    demand(usage.size <= disk.size() && usage.free <= usage.size);
    filesystem->details();
    if (!filesystem->state().free_map_trusted)
        return;
    demand(filesystem->minimum_size().bytes == usage.size);
    const ExtentSet free = filesystem->free_extents();
    demand(free.total() == usage.free);
    demand(free.empty() || free.span().end() <= usage.size);
    demand(!free.intersects({0, 512}));
}

} // namespace
} // namespace disktool::fat

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0)
        return 0;
    disktool::SectorList disk(std::as_bytes(std::span(data, size).subspan(1)), disktool::fat::disk_size);
    try {
        if ((data[0] & disktool::fat::flag_seal) != 0)
            disktool::fat::seal(disk);
        disktool::fat::open_and_look(disk);
    } catch (const disktool::Error&) { // the answer to damage
    }
    return 0;
}
