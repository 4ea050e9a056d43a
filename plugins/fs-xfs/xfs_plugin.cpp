// SPDX-License-Identifier: LGPL-2.1-or-later
#include "xfs_plugin.h"

#include "damage.h"
#include "superblock.h"
#include "xfs_filesystem.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

namespace disktool::xfs {

namespace {

bool version_known(const Superblock& super) {
    return super.features.version() == 4 || super.features.version() == 5;
}

void check(const Superblock& super, const BlockDevice& device) {
    if (!version_known(super))
        throw unsupported(device,
                          fmt::format("the XFS file system is of version {}; disktool knows versions 4 and 5",
                                      super.features.version()));
    if (!super.checksum_valid)
        throw damage(device, "its superblock (at byte 0) has a bad checksum");
    if (const std::string obstacles = super.features.obstacles(); !obstacles.empty())
        throw unsupported(device,
                          fmt::format("the XFS file system has features that disktool does not know: {}; a "
                                      "newer version of disktool may",
                                      obstacles));
    if (super.features.needs_repair())
        throw damage(device, "it is marked as in need of repair (feature needsrepair)");
    if (super.in_progress)
        throw damage(device, "mkfs.xfs, xfs_copy or another tool that works on unmounted file systems was "
                             "interrupted on it");
    if (const std::string defect = super.defect(); !defect.empty())
        throw damage(device, fmt::format("its superblock (at byte 0) makes no sense: {}", defect));
    if (super.size() > device.size())
        throw damage(device, fmt::format("its superblock says {}, but the device has only {}",
                                         exact_size_text(super.size()), exact_size_text(device.size())));
}

} // namespace

int Plugin::probe(BlockDevice& device) {
    const std::optional<Superblock> super = Superblock::read(device);
    if (!super)
        return 0;
    if (super->features.has_checksums() && super->checksum_valid)
        return 100;
    if (!super->defect().empty())
        return 0;
    return super->features.version() == 4 ? 90 : 60;
}

std::unique_ptr<Filesystem> Plugin::open(BlockDevice& device) {
    const std::optional<Superblock> super = Superblock::read(device);
    if (!super)
        throw Error(ErrorCode::unsupported, fmt::format("{}: there is no XFS file system on it", device.name()),
                    Reason::filesystem_not_supported);
    check(*super, device);
    return std::make_unique<XfsFilesystem>(device, *super);
}

} // namespace disktool::xfs
