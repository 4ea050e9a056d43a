// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ext4_plugin.h"

#include "damage.h"
#include "ext4_filesystem.h"
#include "superblock.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

namespace disktool::ext4 {

namespace {

Error unsupported(const BlockDevice& device, const std::string& what) {
    return Error(ErrorCode::unsupported, fmt::format("{}: {}", device.name(), what),
                 Reason::feature_not_supported);
}

void check(const Superblock& super, const BlockDevice& device) {
    if (super.has_checksum() && !super.checksum_known())
        throw unsupported(device,
                          "the ext file system uses a kind of metadata checksum that disktool does not know; "
                          "a newer version may");
    if (super.has_checksum() && !super.checksum_matches())
        throw damage(device, "its superblock (at byte 1024) has a bad checksum");
    if (super.features().journal_device())
        throw unsupported(device,
                          "this is an external journal of an ext file system (feature journal_dev), not a "
                          "file system");
    if (const Features unknown = super.features().unknown(); unknown.any())
        throw unsupported(device,
                          fmt::format("the ext file system has features that disktool does not know: {}; a "
                                      "newer version of disktool and e2fsprogs may",
                                      unknown.names()));
    if (const std::string defect = super.defect(); !defect.empty())
        throw damage(device, fmt::format("its superblock (at byte 1024) makes no sense: {}", defect));
    if (super.size() > device.size())
        throw damage(device, fmt::format("its superblock says {}, but the device has only {}",
                                         exact_size_text(super.size()), exact_size_text(device.size())));
}

} // namespace

int Plugin::probe(BlockDevice& device) {
    const std::optional<Superblock> super = Superblock::read(device);
    if (!super)
        return 0;
    if (super->has_checksum())
        return super->checksum_matches() ? 100 : super->defect().empty() ? 60 : 0;
    // An external journal has no groups to make sense of; open says what it is.
    const bool journal = super->features().journal_device() && !super->features().unknown().any();
    return journal || super->defect().empty() ? 90 : 0;
}

std::unique_ptr<Filesystem> Plugin::open(BlockDevice& device) {
    const std::optional<Superblock> super = Superblock::read(device);
    if (!super)
        throw Error(ErrorCode::unsupported, fmt::format("{}: there is no ext file system on it", device.name()),
                    Reason::filesystem_not_supported);
    check(*super, device);
    return std::make_unique<Ext4Filesystem>(device);
}

} // namespace disktool::ext4
