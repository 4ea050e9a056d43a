// SPDX-License-Identifier: LGPL-2.1-or-later
#include "btrfs_plugin.h"

#include "btrfs_filesystem.h"
#include "damage.h"
#include "superblock.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <utility>

namespace disktool::btrfs {

namespace {

void check_features(const Superblock& super, const BlockDevice& device) {
    Superblock unknown;
    unknown.incompatible = super.incompatible & ~incompatible::known;
    unknown.read_only_compatible = super.read_only_compatible & ~read_only_compatible::known;
    unknown.compatible = super.compatible;
    if ((unknown.incompatible | unknown.read_only_compatible | unknown.compatible) != 0)
        throw unsupported(device,
                          fmt::format("the btrfs file system has features that disktool does not handle: {}; a "
                                      "newer version may",
                                      unknown.features()));
    if ((super.flags & super_flag::metadump) != 0)
        throw unsupported(device,
                          "this is a dump of a btrfs file system's metadata (btrfs-image), not a file system");
}

void check_devices(const Superblock& super, const BlockDevice& device) {
    if ((super.flags & super_flag::seeding) != 0)
        throw unsupported(
            device,
            "the btrfs file system is a seed device, a base that others are built upon; it is not to be "
            "changed",
            Reason::several_devices);
    if (super.device_count != 1)
        throw unsupported(
            device,
            fmt::format("the btrfs file system spans {} devices; disktool knows those on one device",
                        super.device_count),
            Reason::several_devices);
}

void check(const Superblock& super, BlockDevice& device) {
    if (!is_known(super.checksum_type))
        throw unsupported(
            device, fmt::format("the btrfs file system uses a kind of checksum that disktool does not know "
                                "({}); a newer version may",
                                name(super.checksum_type)));
    if (!super.checksum_good) {
        const unsigned good = read_mirrors(device, super).good;
        throw damage(device,
                     fmt::format("its superblock (at byte {}) has a bad checksum{}", superblock_places[0],
                                 good > 0 ? ", but a mirror of it is good (btrfs rescue super-recover)" : ""));
    }
    check_features(super, device);
    if (const std::string defect = super.defect(); !defect.empty())
        throw damage(device, fmt::format("its superblock (at byte {}) makes no sense: {}", superblock_places[0],
                                         defect));
    if (super.place != superblock_places[0])
        throw damage(device, fmt::format("its superblock (at byte {}) says that it belongs at {}",
                                         superblock_places[0], super.place));
    check_devices(super, device);
    if (super.device_bytes > device.size())
        throw damage(device, fmt::format("its superblock says {}, but the device has only {}",
                                         exact_size_text(super.device_bytes), exact_size_text(device.size())));
}

} // namespace

int Plugin::probe(BlockDevice& device) {
    const std::optional<Superblock> super = read_superblock(device, superblock_places[0]);
    if (!super)
        return 0;
    if (super->checksum_good)
        return 100;
    if (!is_known(super->checksum_type))
        return 80;
    return super->defect().empty() ? 60 : 0;
}

std::unique_ptr<Filesystem> Plugin::open(BlockDevice& device) {
    std::optional<Superblock> super = read_superblock(device, superblock_places[0]);
    if (!super)
        throw Error(ErrorCode::unsupported,
                    fmt::format("{}: there is no btrfs file system on it", device.name()),
                    Reason::filesystem_not_supported);
    check(*super, device);
    return std::make_unique<BtrfsFilesystem>(device, *std::move(super));
}

} // namespace disktool::btrfs
