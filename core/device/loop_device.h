// SPDX-License-Identifier: LGPL-2.1-or-later
// Loop devices of the kernel, without losetup and without races. Source: linux/loop.h, loop(4).
#pragma once

#include <disktool/api.h>
#include <disktool/range.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace disktool {

struct LoopOptions {
    std::string shown_name; ///< of the backing file, in the kernel's own listings (63 bytes)
    Range part{0, 0};       ///< of the file; length 0: up to its end
    bool read_only = false;
    bool direct_io = true;           ///< required: where it is not possible, Error(unsupported)
    std::uint32_t sector_size = 512; ///< logical
};

/// An attached loop device. Detached by detach() alone: it may outlive us.
class DISKTOOL_API LoopDevice {
  public:
    /// Takes a free one (made by /dev/loop-control, claimed by LOOP_CONFIGURE; tried again when another program
    /// was faster). `file`: a descriptor that is open as the device is to be. Throws Error(program_missing)
    /// where the host has no loop devices or none is left, with the way out; SystemError.
    static std::unique_ptr<LoopDevice> attach(int file, const LoopOptions& options);
    /// One that is attached already, by its node. None: nothing is attached to it.
    static std::optional<LoopDevice> find(const std::string& node);
    ~LoopDevice();
    LoopDevice(LoopDevice&&) noexcept;

    int number() const { return number_; }
    std::string node() const; ///< "/dev/loop3"
    int descriptor() const;   ///< open for reading, and writing unless it is read-only
    std::uint64_t size() const;
    /// The file has another size now (LOOP_SET_CAPACITY).
    void follow_size();
    /// A setting of its request queue: /sys/block/loopN/queue/NAME. False: the kernel does not take it.
    bool set_queue(const std::string& name, std::uint64_t value);
    /// Partitions first (BLKPG), then LOOP_CLR_FD. False: someone has it open, and the kernel detaches it when
    /// they close it.
    bool detach();

  private:
    LoopDevice(int number, int descriptor);
    int number_;
    int descriptor_;
};

} // namespace disktool
