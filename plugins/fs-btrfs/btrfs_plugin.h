// SPDX-License-Identifier: LGPL-2.1-or-later
// The plugin's entry: recognises btrfs, and opens what is sound and on one device.
#pragma once

#include <disktool/filesystem.h>

namespace disktool::btrfs {

class Plugin : public FilesystemPlugin {
  public:
    /// 100 with a matching superblock checksum, 80 where its kind is not known, 60 with a wrong one (open then
    /// says so). 0 without the magic number at its first place, or where nothing around it makes sense.
    int probe(BlockDevice& device) override;
    std::unique_ptr<Filesystem> open(BlockDevice& device) override;
};

} // namespace disktool::btrfs
