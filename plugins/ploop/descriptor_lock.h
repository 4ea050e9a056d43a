// SPDX-License-Identifier: LGPL-2.1-or-later
// Keeps others away from a disk while it is changed: both locks that the original has had.
#pragma once

#include <disktool/file.h>
#include <disktool/progress.h>

#include <chrono>
#include <memory>
#include <string>

namespace disktool::ploop {

/// flock on DESCRIPTOR.lck, which is made when it is missing and stays there: were it removed, two could hold
/// locks on two files of that name. Held as long as this lives, or the process. Threads: one.
class DescriptorLock {
  public:
    /// Waits up to `wait` for others. Throws PloopError(bad_descriptor, ErrorCode::locked) that names who has
    /// it; Error(interrupted) when cancelled; SystemError where the .lck cannot be opened. The descriptor
    /// itself need not be there. What was read of it before may be old by now.
    DescriptorLock(FileDoor& files, const std::string& descriptor_path, std::chrono::seconds wait,
                   CancelToken* cancel);
    ~DescriptorLock();

    /// Newer versions of the original lock bytes of the base image instead. They are taken as well, shared,
    /// and given back when someone else turns out to have a lock on them. Waits and throws as above; an image
    /// that was locked before is let go. These are bytes that QEMU looks at, too: it will not open the image
    /// meanwhile.
    void lock_base_image(const std::string& path);
    void release_base_image();

  private:
    bool try_take_bytes();
    template <typename Try>
    void wait_for(Try take, File& file, const std::string& name) const;

    FileDoor& files_;
    const std::string path_; ///< of the .lck
    const std::chrono::seconds wait_;
    CancelToken* const cancel_;
    std::unique_ptr<File> file_;
    std::unique_ptr<File> base_image_;
};

} // namespace disktool::ploop
