// SPDX-License-Identifier: LGPL-2.1-or-later
// Loop devices of the kernel, without losetup and without races. Source: linux/loop.h, loop(4).
#pragma once

#include "block/host_descriptor.h"

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
    /// Passed on as holes punched into the file. A queue that once was told to take none (discard_max_bytes)
    /// never takes any again, whatever is attached later (Linux since 6.8), so a number that was used without
    /// them has to be made anew: attach() does it where it meets one, see renew().
    bool discard = true;
};

/// An attached loop device. Detached by detach() alone: it may outlive us.
///
/// No descriptor of it is kept: a process that serves the file behind it and is killed would, while it closes
/// such a descriptor, write out what the kernel has of the device, and wait for its own answer for ever.
class DISKTOOL_API LoopDevice {
  public:
    /// Takes a free one (made by /dev/loop-control, claimed by LOOP_CONFIGURE; tried again when another program
    /// was faster). `file`: a descriptor that is open as the device is to be. Throws Error(program_missing)
    /// where the host has no loop devices or none is left, with the way out; SystemError.
    static std::unique_ptr<LoopDevice> attach(int file, const LoopOptions& options);
    /// One that is attached already, by its node. None: nothing is attached to it.
    static std::optional<LoopDevice> find(const std::string& node);

    int number() const { return number_; }
    std::string node() const; ///< "/dev/loop3"
    /// For what is to be asked of it now; closed soon.
    Descriptor open(bool writable = false) const;
    std::uint64_t size() const;
    /// The file has another size now (LOOP_SET_CAPACITY).
    void follow_size();
    /// A setting of its request queue: /sys/block/loopN/queue/NAME. False: the kernel does not take it.
    bool set_queue(const std::string& name, std::uint64_t value);
    /// Partitions first (BLKPG), then LOOP_CLR_FD. False: someone has it open, and the kernel detaches it when
    /// they close it.
    bool detach();
    /// Were discards turned off?
    bool refuses_discards() const;
    /// A free loop device is removed from the kernel and made again, with the settings that all have at first.
    /// Takes some 50 ms. False: somebody has it.
    static bool renew(int number);

  private:
    explicit LoopDevice(int number) : number_(number) {}
    int number_;
};

} // namespace disktool
