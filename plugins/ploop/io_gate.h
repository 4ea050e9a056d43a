// SPDX-License-Identifier: LGPL-2.1-or-later
// A lock that many pass at once and one can close.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

namespace disktool::ploop {

/// Shared by whoever does I/O; held alone by whoever changes what the I/O goes through. Unlike a
/// std::shared_mutex it is closed as soon as those who are inside have left: newcomers wait, however many there
/// are. For std::shared_lock and std::lock_guard. Not recursive: who is inside must not come in again. Threads:
/// any.
class IoGate {
  public:
    void lock_shared() noexcept;
    void unlock_shared() noexcept;
    void lock();
    void unlock() noexcept;

  private:
    static constexpr std::uint32_t closed = std::uint32_t{1} << 31;
    std::atomic<std::uint32_t> inside_{0}; ///< how many, and whether it is closed
    std::mutex closing_;
};

} // namespace disktool::ploop
