// SPDX-License-Identifier: LGPL-2.1-or-later
// Content by its superblock, as libblkid knows it.
#include "partition/little_endian.h"
#include "partition/sparse_copy.h"
#include "partition/table.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <blkid/blkid.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <memory>
#include <new>

namespace disktool {
namespace {

using Probe = std::unique_ptr<std::remove_pointer_t<blkid_probe>, decltype(&blkid_free_probe)>;

// VMFS has its superblock at 2 MiB; nothing is known to us that lies farther from the start. Metadata at the
// end (md 0.90 and 1.0, DDF, Intel's RAID) lies in the last 128 KiB, ZFS labels in the last 512 KiB.
constexpr std::uint64_t head_length = 2 * MiB + 64 * KiB;
constexpr std::uint64_t tail_length = MiB;
constexpr std::uint64_t mft_length = 16 * KiB; // four records, the last is the volume's; one has 1 or 4 KiB

/// libblkid takes an NTFS for one only when it sees the start of its master file table, which Windows
/// puts at 3 GiB. Boot sector: sector size at 11, sectors per cluster at 13 (or, from 0x80 on, a negative power
/// of two), first cluster of the table at 48 (Microsoft, "NTFS boot sector").
std::optional<Range> ntfs_file_table(BlockDevice& device) {
    std::array<std::byte, 512> boot{};
    if (device.size() < boot.size()) {
        return std::nullopt;
    }
    device.read(0, boot);
    if (std::memcmp(boot.data() + 3, "NTFS    ", 8) != 0) {
        return std::nullopt;
    }
    const std::uint64_t sector_size = load_le<std::uint16_t>(boot, 11);
    const auto factor = load_le<std::uint8_t>(boot, 13);
    const std::uint64_t sectors = factor <= 0x80 ? factor : 1ull << std::min(256 - factor, 31);
    const std::uint64_t cluster_size = sector_size * sectors;
    const auto cluster = load_le<std::uint64_t>(boot, 48);
    if (cluster_size == 0 || cluster >= device.size() / cluster_size) {
        return std::nullopt;
    }
    return Range{cluster * cluster_size, mft_length};
}

} // namespace

std::optional<std::string> identify_content(BlockDevice& device) {
    SparseCopy copy(device, device.size());
    copy.copy({0, head_length});
    const std::uint64_t tail_start = device.size() - std::min(device.size(), tail_length);
    copy.copy({tail_start, tail_length});
    if (const auto table = ntfs_file_table(device)) {
        copy.copy(*table);
    }

    const Probe probe(blkid_new_probe(), blkid_free_probe);
    if (probe == nullptr) {
        throw std::bad_alloc();
    }
    if (blkid_probe_set_device(probe.get(), copy.descriptor(), 0, static_cast<blkid_loff_t>(device.size())) !=
        0) {
        return std::nullopt; // empty, or too small for anything
    }
    blkid_probe_enable_superblocks(probe.get(), 1);
    blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE);
    const char* type = nullptr;
    // 1: nothing; -2: several, which is as good as nothing; -1: an error, which a file in memory has only for
    // what lies outside it.
    if (blkid_do_safeprobe(probe.get()) != 0 ||
        blkid_probe_lookup_value(probe.get(), "TYPE", &type, nullptr) != 0) {
        return std::nullopt;
    }
    return type;
}

} // namespace disktool
