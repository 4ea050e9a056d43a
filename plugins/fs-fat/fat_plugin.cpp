// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fat_plugin.h"

#include "damage.h"
#include "exfat_filesystem.h"
#include "fat_filesystem.h"
#include "fat_table.h"

#include <fmt/format.h>

#include <optional>

namespace disktool::fat {

int Plugin::probe(BlockDevice& device) {
    if (is_exfat(device))
        return read_exfat_geometry(device).defect.empty() ? 100 : 60;
    const std::optional<FatGeometry> fat = read_geometry(device);
    if (!fat)
        return 0;
    const bool fits = fat->total_size <= device.size();
    const bool starts = fat->table + fat->table_size <= device.size() && FatTable(device, *fat).media_matches();
    return fits && starts ? 90 : fits || starts ? 50 : 0;
}

std::unique_ptr<Filesystem> Plugin::open(BlockDevice& device) {
    if (is_exfat(device)) {
        ExfatGeometry exfat = read_exfat_geometry(device);
        if (exfat.tables == 2)
            throw unsupported(
                device, "this is TexFAT (exFAT with two FATs, for transactions), which disktool does not know",
                Reason::feature_not_supported);
        if (exfat.revision >> 8 != 1)
            throw unsupported(device,
                              fmt::format("exFAT of revision {}.{:02} is newer than what disktool knows (1.00)",
                                          exfat.revision >> 8, exfat.revision & 0xff),
                              Reason::feature_not_supported);
        return std::make_unique<ExfatFilesystem>(device, std::move(exfat));
    }
    std::optional<FatGeometry> fat = read_geometry(device);
    if (!fat)
        throw unsupported(device, "there is no FAT file system on it", Reason::filesystem_not_supported);
    return std::make_unique<FatFilesystem>(device, std::move(*fat));
}

} // namespace disktool::fat
