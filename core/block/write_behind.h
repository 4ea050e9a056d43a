// SPDX-License-Identifier: LGPL-2.1-or-later
// Long writing that ends in a sync: the host's disk works meanwhile, not only then.
#pragma once

#include <disktool/file.h>

#include <cstdint>

namespace disktool {

/// Told how much was written to a file (through whatever handle), it asks the host now and then to begin to
/// bring that to its disk. A hint only: promises nothing, waits for little, fails never.
class WriteBehind {
  public:
    explicit WriteBehind(File& file) : file_(file) {}
    void wrote(std::uint64_t bytes);

  private:
    File& file_;
    std::uint64_t waiting_ = 0; ///< bytes
};

} // namespace disktool
