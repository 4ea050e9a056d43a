// SPDX-License-Identifier: LGPL-2.1-or-later
// A second thread that drops the host's cached pages ahead of the punching.
#pragma once

#include <disktool/extents.h>
#include <disktool/file.h>

#include <thread>

namespace disktool::qcow2 {

/// Punching a hole drops the pages that the host has cached for it, one by one and in the same call: 40 % of
/// the time for a file that was read or written lately (4.8 GiB: 1.45 s cached, 0.86 s not). As a hint
/// (posix_fadvise) the same can be done beside it, on another processor. Changes nothing that is stored. Refers
/// to the file; ends with this object.
class CacheDrop {
  public:
    CacheDrop(File& file, ExtentSet holes);

  private:
    std::jthread worker_;
};

} // namespace disktool::qcow2
