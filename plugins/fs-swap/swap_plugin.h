// SPDX-License-Identifier: LGPL-2.1-or-later
// The plugin's entry: recognises Linux swap areas, and those in which a system sleeps.
#pragma once

#include <disktool/filesystem.h>

namespace disktool::swap {

class Plugin : public FilesystemPlugin {
  public:
    /// 100 for a header of version 1 that makes sense and for a sleeping system, 60 for other signatures.
    int probe(BlockDevice& device) override;
    std::unique_ptr<Filesystem> open(BlockDevice& device) override;
};

} // namespace disktool::swap
