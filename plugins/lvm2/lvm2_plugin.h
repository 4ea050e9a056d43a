// SPDX-License-Identifier: LGPL-2.1-or-later
// The plugin's entry: recognises LVM2 physical volumes, and opens what is sound.
#pragma once

#include <disktool/volumes.h>

namespace disktool::lvm2 {

class Plugin : public VolumesPlugin {
  public:
    /// 100 with a whole label, 60 with one that has a bad checksum (open then says so).
    int probe(BlockDevice& device) override;
    std::unique_ptr<Volumes> open(BlockDevice& device) override;
};

} // namespace disktool::lvm2
