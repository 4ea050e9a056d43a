// SPDX-License-Identifier: LGPL-2.1-or-later
// What the guest sees: a disk, or a part of one.
#pragma once

#include <disktool/api.h>
#include <disktool/range.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace disktool {

enum class ExtentKind {
    data,        ///< stored somewhere in the image or its chain
    zero,        ///< known to read as zeros, and recorded so
    unallocated, ///< stored nowhere in the chain; reads as zeros
};

struct Extent {
    Range range;
    ExtentKind kind = ExtentKind::unallocated;
    friend bool operator==(const Extent&, const Extent&) = default;
};

/// A disk of size() bytes. Format plugins give one, filesystem plugins get one.
///
/// Units: bytes; no alignment is demanded of callers. Errors: `Error`; a request beyond size() is
/// ErrorCode::damaged (whoever asks has believed an on-disk structure). Threads: one at a time, unless
/// concurrent() says otherwise. Ownership: a device that refers to another (Window, CachedDevice) does not own
/// it unless its header says so.
class DISKTOOL_API BlockDevice {
  public:
    BlockDevice() = default;
    BlockDevice(const BlockDevice&) = delete;
    BlockDevice& operator=(const BlockDevice&) = delete;
    virtual ~BlockDevice();

    virtual std::uint64_t size() const = 0;
    /// For messages: "disk.qcow2", "disk.qcow2 partition 2".
    virtual std::string name() const = 0;
    virtual void read(std::uint64_t offset, std::span<std::byte> buffer) = 0;
    /// Sorted, merged, covering `range` without gaps. A device that knows nothing of its contents says "data".
    virtual std::vector<Extent> extents(Range range);

    virtual bool writable() const { return false; }
    /// May read, write, discard and zero be called from many threads at once?
    virtual bool concurrent() const { return false; }
    // The rest throws unsupported for a device that is not writable.
    virtual void write(std::uint64_t offset, std::span<const std::byte> data);
    virtual void discard(Range range); ///< content is undefined afterwards
    virtual void zero(Range range);
    virtual void flush(); ///< all that was written is on stable storage when it returns

    /// Bytes of the device, as they lie one behind the other in a file.
    struct Place {
        int direct;           ///< descriptor past the host's cache, see File::direct(); its unit is kept to
        int cached;           ///< descriptor of the same file by way of the cache; -1: not to be used
        std::uint64_t offset; ///< in it
        bool zeros_behind;    ///< the file may end before: what it has not reads as zeros
        unsigned image = 0;   ///< which of its files: the device's own affair
    };
    /// For who reads by himself: where all of the range lies in one run of one file. It stays there until
    /// release(), once for each hold(), by any thread; soon, since changes of the device wait for that. None:
    /// read() is the way.
    virtual std::optional<Place> hold(Range range);
    virtual void release() noexcept;
    /// The same for who writes there by himself, past the cache: all of the range has its place, and that is
    /// the device's to write to. It is written() instead of release(): when it is over, also where it has
    /// failed, and before anybody is told that it is over. `length`: bytes that may be others now. None:
    /// write() is the way.
    virtual std::optional<Place> hold_to_write(Range range);
    virtual void written(const Place& place, std::uint64_t length) noexcept;

  protected:
    /// Throws unless [offset, offset + length) lies within the device.
    void check_range(std::uint64_t offset, std::uint64_t length) const;
};

} // namespace disktool
