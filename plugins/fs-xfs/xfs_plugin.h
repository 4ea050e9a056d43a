// SPDX-License-Identifier: LGPL-2.1-or-later
// The plugin's entry: recognises XFS, and opens what is sound.
#pragma once

#include <disktool/filesystem.h>

namespace disktool::xfs {

class Plugin : public FilesystemPlugin {
  public:
    /// 100 with a matching superblock checksum (version 5), 90 without (version 4), 60 with a wrong checksum or
    /// of another version (open then says so). 0 where the magic number is there by chance and the fields make
    /// no sense.
    int probe(BlockDevice& device) override;
    std::unique_ptr<Filesystem> open(BlockDevice& device) override;
};

} // namespace disktool::xfs
