// SPDX-License-Identifier: LGPL-2.1-or-later
// A new state of an image's disk in the making, beside the present one, and the switch from old to new.
#pragma once

#include <disktool/api.h>
#include <disktool/block_device.h>
#include <disktool/file.h>
#include <disktool/range.h>

#include <cstdint>

namespace disktool {

/// What the new state is besides its guest bytes.
struct WorkCommit {
    std::uint64_t size = 0;      ///< of the disk from then on; bytes, a multiple of 512
    bool drop_snapshots = false; ///< internal snapshots go
    /// The image stands alone from then on. What still shows through from the backing chain becomes zeros:
    /// whoever wants it writes it to the working disk before.
    bool drop_backing = false;
    bool reserve = false; ///< every guest cluster is allocated, and its host blocks really reserved
};

/// Begun by Image::begin_work with a size (the larger of old and new). Reads show the image's disk with all
/// that was written here since; what lies beyond the image's present end reads as zeros. Whoever opens the
/// image meanwhile, or after a kill, sees the old disk. commit() makes the new state the image's own at one
/// instant, synced: before it the image is the old one, afterwards the new one, also after a power cut. It then
/// gives the host what only the old state needed, and the image's info() and device() tell of the new state.
/// Destroyed without commit: abandoned, and what it had taken of the host is given back.
///
/// discard() makes the bytes of whole clusters read as zeros in the new state and takes no space.
/// Errors: no_space (the old state is untouched), SystemError. Threads: one at a time unless concurrent().
/// Refers to its image, which must outlive it and must not be changed otherwise meanwhile.
class DISKTOOL_API WorkingDisk : public BlockDevice {
  public:
    WorkingDisk() = default;
    ~WorkingDisk() override;

    bool writable() const override { return true; }
    /// The bytes [from, from + length) of `source` at `offset`, without moving them through memory where the
    /// host can share (FICLONERANGE) or copy (copy_file_range) them. False where it cannot, or where the places
    /// do not fit to whole clusters: nothing has changed then, and the caller writes.
    virtual bool take_from(std::uint64_t offset, File& source, Range from);
    /// Host bytes that the work has taken so far.
    virtual std::uint64_t space_taken() const = 0;
    /// Once. The working disk must not be used afterwards.
    virtual void commit(const WorkCommit& request) = 0;
};

} // namespace disktool
