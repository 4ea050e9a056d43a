// SPDX-License-Identifier: LGPL-2.1-or-later
// The locks of an image file: flock (ours and the original's) and the byte-range locks of QEMU.
//
// Source of the byte numbers: QEMU locks byte 100+i for a permission it uses and 200+i for one it does not
// share, i = 0 consistent read, 1 write, 2 write unchanged, 3 resize (block/file-posix.c documents them).
#pragma once

#include <disktool/api.h>
#include <disktool/file.h>
#include <disktool/format.h>
#include <disktool/progress.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace disktool {

struct LockHolder {
    int pid = 0;
    std::string program; ///< command name
};

/// Who has the file open with a lock on it (flock, POSIX or open-file-description), other than ourselves: from
/// /proc/*/fdinfo. May be empty when /proc does not tell (another user's process, another host).
DISKTOOL_API std::vector<LockHolder> lock_holders(const FileStatus& file);
/// "pid 4711 (qemu-system-x86)", several joined by ", ". "a process that /proc does not show" when empty.
DISKTOOL_API std::string holders_text(const std::vector<LockHolder>& holders);

/// Both locks of one image file, held as long as this lives (and the File, which it refers to).
class DISKTOOL_API ImageLock {
  public:
    /// How long to wait for others: none: not at all; zero: for ever.
    using Wait = std::optional<std::chrono::seconds>;

    /// Access::write: flock exclusive, and QEMU's bytes as its own writers take them (only a reader that
    /// ignores locks, `qemu-img info -U`, gets in beside one). Throws Error(locked) with the holders: "The
    /// specified disk image "PATH" is locked by another process: pid 1 (x)" when the wait is over.
    /// Access::read: flock shared (a conflict throws as above); QEMU's bytes as a reader: where a writer (a
    /// running VM) holds them, nothing is thrown, but writer_present() is true.
    /// `shown`: the file's name in messages, as the user typed it; empty: its path.
    ImageLock(File& file, Access access, Wait wait, CancelToken* cancel, const std::string& shown = {});
    ImageLock(const ImageLock&) = delete;
    ImageLock& operator=(const ImageLock&) = delete;
    ~ImageLock();
    /// The same locks, left on the file until it is closed, for a file whose owner is not the lock's. False: a
    /// writer is present, and only the flock was taken.
    static bool take_until_closed(File& file, Access access, Wait wait, CancelToken* cancel);
    /// Ends those of take_until_closed() before.
    static void release(File& file);

    bool writer_present() const { return writer_present_; }
    const std::vector<LockHolder>& writers() const { return writers_; }

    /// See StepContext::lend_image_to_child. Taking them back throws Error(locked) when someone else has come
    /// in between.
    void release_qemu_bytes();
    void retake_qemu_bytes();

  private:
    bool try_take();
    File& file_;
    std::string shown_;
    Access access_;
    bool bytes_held_ = false;
    bool until_closed_ = false;
    bool writer_present_ = false;
    std::vector<LockHolder> writers_;
};

} // namespace disktool
