// SPDX-License-Identifier: LGPL-2.1-or-later
// A device as many requests at once may use it: the part of a view that has nothing to do with FUSE.
#pragma once

#include "engine/entrance.h"

#include <disktool/block_device.h>
#include <disktool/error.h>

#include <functional>
#include <mutex>
#include <optional>
#include <span>

namespace disktool {

/// Takes requests from any thread, hands them to the device as it can bear them (all one after the other unless
/// it is concurrent(); extents and flush always alone), and answers with errno values. Keeps the first Error of
/// the device, which says more than an errno value. Units: bytes of the device.
class DISKTOOL_API ServedDevice {
  public:
    /// `discard_unit`: discards of whole, aligned units of so many bytes read as zeros afterwards, so holes can
    /// be punched by them; 0: they may read as anything, and holes are written as zeros.
    ServedDevice(BlockDevice& device, std::uint64_t discard_unit);

    std::uint64_t size() const { return size_; }
    bool writable() const { return writable_; }

    // Each returns 0 or an errno value. The caller has checked the range.
    int read(std::uint64_t offset, std::span<std::byte> buffer);
    int write(std::uint64_t offset, std::span<const std::byte> data);
    int punch_hole(Range range); ///< reads as zeros afterwards
    int zero(Range range);
    int flush();
    /// `found`: the first byte in `range` that is data (not data), or none.
    int find(Range range, bool data, std::optional<std::uint64_t>& found);

    /// From here on every request is answered with EIO, and none uses the device, which may go.
    void close();
    std::optional<Error> first_error() const;
    /// For errors found before the device is asked; answers with the errno value for it.
    int keep(const Error& error);

  private:
    int transfer(const std::function<void(BlockDevice&)>& action);
    int alone(const std::function<void(BlockDevice&)>& action);
    int guarded(const std::function<void(BlockDevice&)>& action);

    Entrance entrance_;
    BlockDevice* device_; ///< null: closed. Changed alone only
    const std::uint64_t size_;
    const bool writable_;
    const bool concurrent_;
    const std::uint64_t discard_unit_;
    mutable std::mutex error_mutex_;
    std::optional<Error> first_error_;
};

} // namespace disktool
