// SPDX-License-Identifier: GPL-2.0-or-later
#include "ntfs_plugin.h"

#include "boot_sector.h"
#include "damage.h"
#include "ntfs_filesystem.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

namespace disktool::ntfs {

int Plugin::probe(BlockDevice& device) {
    const std::optional<BootSector> boot = BootSector::read(device);
    return !boot ? 0 : boot->defect().empty() ? 100 : 60;
}

std::unique_ptr<Filesystem> Plugin::open(BlockDevice& device) {
    const std::optional<BootSector> boot = BootSector::read(device);
    if (!boot)
        throw Error(ErrorCode::unsupported,
                    fmt::format("{}: there is no NTFS file system on it", device.name()),
                    Reason::filesystem_not_supported);
    if (const std::string defect = boot->defect(); !defect.empty())
        throw damage(device, fmt::format("its boot sector makes no sense: {}", defect));
    if (boot->sectors() > device.size() / boot->sector_size())
        throw damage(device,
                     fmt::format("its boot sector counts {} sectors of {} bytes, but the device has only {}",
                                 boot->sectors(), boot->sector_size(), exact_size_text(device.size())));
    return std::make_unique<NtfsFilesystem>(device, *boot);
}

} // namespace disktool::ntfs
