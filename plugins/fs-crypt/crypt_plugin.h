// SPDX-License-Identifier: LGPL-2.1-or-later
// The plugin's entry: recognises LUKS1, LUKS2, BitLocker and BitLocker To Go.
#pragma once

#include <disktool/filesystem.h>

namespace disktool::crypt {

class Plugin : public FilesystemPlugin {
  public:
    /// 100, so that BitLocker To Go's FAT boot sector is not taken for a FAT.
    int probe(BlockDevice& device) override;
    std::unique_ptr<Filesystem> open(BlockDevice& device) override;
};

} // namespace disktool::crypt
