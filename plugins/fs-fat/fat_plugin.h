// SPDX-License-Identifier: LGPL-2.1-or-later
// The plugin's entry: recognises FAT12, FAT16, FAT32 and exFAT, and opens what is sound.
#pragma once

#include <disktool/filesystem.h>

namespace disktool::fat {

class Plugin : public FilesystemPlugin {
  public:
    /// exFAT: 100, or 60 where its boot region is damaged (open then says so). FAT has no magic number of its
    /// own: 90 where the boot sector makes sense, lies on a device that is large enough and the table starts as
    /// it must; 50 where only one of the latter is wrong.
    int probe(BlockDevice& device) override;
    std::unique_ptr<Filesystem> open(BlockDevice& device) override;
};

} // namespace disktool::fat
