// SPDX-License-Identifier: LGPL-2.1-or-later
// The plugin's entry: recognises ext2, ext3 and ext4, and opens what is sound.
#pragma once

#include <disktool/filesystem.h>

namespace disktool::ext4 {

class Plugin : public FilesystemPlugin {
  public:
    /// 100 with a matching superblock checksum, 90 without that feature, 60 with a wrong checksum (open then
    /// says so). 0 where the magic number is there by chance and the fields make no sense.
    int probe(BlockDevice& device) override;
    std::unique_ptr<Filesystem> open(BlockDevice& device) override;
};

} // namespace disktool::ext4
