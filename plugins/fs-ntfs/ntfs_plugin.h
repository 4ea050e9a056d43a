// SPDX-License-Identifier: GPL-2.0-or-later
// The plugin's entry: recognises NTFS and opens what is sound.
#pragma once

#include <disktool/filesystem.h>

namespace disktool::ntfs {

class Plugin : public FilesystemPlugin {
  public:
    /// 100 with a boot sector that makes sense, 60 where only the OEM id is NTFS's (open then says what is
    /// wrong), else 0.
    int probe(BlockDevice& device) override;
    std::unique_ptr<Filesystem> open(BlockDevice& device) override;
};

} // namespace disktool::ntfs
