// SPDX-License-Identifier: LGPL-2.1-or-later
// Opening an image the way every verb does: resolve links, probe, lock, pass the gate, open with its plugin.
#pragma once

#include "image/locks.h"
#include "plugin/registry.h"

#include <disktool/doors.h>
#include <disktool/format.h>
#include <disktool/progress.h>

#include <memory>
#include <string>
#include <vector>

namespace disktool {

struct OpenOptions {
    Access access = Access::read;
    ImageLock::Wait wait{};
    /// Folders, besides the image's own, in which backing and data files may lie.
    std::vector<std::string> allow_backing{};
    CancelToken* cancel = nullptr;
    /// Also the backing images are opened with `access` and locked for it, to be merged.
    bool whole_chain = false;
    /// Known beforehand, since we made the file ourselves; empty: probed.
    std::string format{};
    /// The path must be a block device's, and `format` that of a plugin that takes them.
    bool block_device = false;
};

/// An image that is open and locked. A path that is a symbolic link means the file it points to, whose own
/// folder counts for the gate and the job record.
class DISKTOOL_API Session {
  public:
    /// Throws not_found (missing, a directory, a FIFO, unreadable), locked, unsupported (format "raw" for
    /// writing: `PATH: unsupported format "raw". Only "qcow2" is supported.` and the way out), or what the
    /// plugin throws. After waiting for a lock it makes sure that the name still means the file it locked.
    static std::unique_ptr<Session> open(Doors doors, Registry& registry, const std::string& path,
                                         const OpenOptions& options);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session();

    Doors doors() const { return doors_; }
    Registry& registry() const { return registry_; }
    const std::string& given_path() const { return given_path_; } ///< as the user typed it
    const std::string& path() const { return path_; }             ///< the file itself, absolute
    Access access() const { return access_; }
    File& file() { return *file_; }
    ImageLock& lock() { return *lock_; }
    Image& image() { return *image_; }
    /// Opens the image anew, after a child has changed it behind our back. The old Image is gone.
    void reopen();
    /// The same, with OpenOptions::whole_chain as given.
    void reopen_chain(bool whole_chain);
    /// Another file has taken the image's name by our own doing: that one is the session's from now on.
    void follow_name();

  private:
    class Opener;
    friend class Opener;
    Session(Doors doors, Registry& registry) : doors_(doors), registry_(registry) {}
    Access chain_access() const { return options_.whole_chain ? access_ : Access::read; }

    Doors doors_;
    Registry& registry_;
    std::string given_path_;
    std::string linked_from_; ///< the name of the image, as given or as a descriptor tells it; may be a link
    std::string path_;
    std::string format_;
    Access access_ = Access::read;
    OpenOptions options_;
    std::unique_ptr<File> file_;
    std::unique_ptr<ImageLock> lock_;
    std::unique_ptr<Image> image_;
};

} // namespace disktool
