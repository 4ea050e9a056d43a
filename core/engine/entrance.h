// SPDX-License-Identifier: LGPL-2.1-or-later
// A lock of many together or one alone, in the order of coming.
#pragma once

#include <mutex>
#include <shared_mutex>

namespace disktool {

/// One who wants to be alone waits for those inside only, not for those who come after him: std::shared_mutex
/// by itself may let readers pass by a waiting writer for ever.
class Entrance {
  public:
    std::shared_lock<std::shared_mutex> together() {
        const std::scoped_lock door(door_);
        return std::shared_lock(inside_);
    }
    std::unique_lock<std::shared_mutex> alone() {
        const std::scoped_lock door(door_);
        return std::unique_lock(inside_);
    }
    /// The one or the other.
    template <typename Action>
    auto pass(bool together_will_do, Action action) {
        if (!together_will_do) {
            const auto lock = alone();
            return action();
        }
        const auto lock = together();
        return action();
    }

  private:
    std::mutex door_;
    std::shared_mutex inside_;
};

} // namespace disktool
