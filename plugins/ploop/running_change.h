// SPDX-License-Identifier: LGPL-2.1-or-later
// What the verbs on a disk in use share.
#pragma once

#include "disk_change.h"

#include <chrono>
#include <thread>

namespace disktool::ploop {

/// Before the descriptor was replaced: removes what was made. What fails in that is told, and left to the next
/// mount.
void take_back(DiskChange& change, const Say& say) noexcept;

/// A batch holds guest I/O up; as long again, the guest has its turn.
class Turns {
  public:
    template <typename Batch>
    auto run(Batch batch) {
        std::this_thread::sleep_for(last_);
        const auto start = std::chrono::steady_clock::now();
        auto result = batch();
        last_ = std::min<std::chrono::steady_clock::duration>(std::chrono::steady_clock::now() - start,
                                                              std::chrono::milliseconds(50));
        return result;
    }

  private:
    std::chrono::steady_clock::duration last_{};
};

} // namespace disktool::ploop
