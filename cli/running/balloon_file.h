// SPDX-License-Identifier: LGPL-2.1-or-later
// The balloon: a file that takes room in a mounted file system, so that nobody else can.
#pragma once

#include "block/host_descriptor.h"

#include <disktool/range.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace disktool::ploop::cli {

/// How all tools find it, in the root folder of the file system.
constexpr std::string_view balloon_name = ".balloon-c3a5ae3d-ce7f-43c4-a1ea-c61e2b4504e8";

/// An ordinary file, root's own (0600) and immutable except while it is changed here. On a kernel of OpenVZ,
/// whose ext4 hides it, the one that this ext4 opens.
///
/// The root folder belongs to a guest: what bears the name and is no plain file of root's with one name is
/// refused. Sizes in bytes. One caller at a time (see Maintenance). Throws PloopError(allocate) where the file
/// system has no room, else PloopError or SystemError.
class BalloonFile {
  public:
    /// `root`: of the file system, where it is mounted.
    explicit BalloonFile(const std::string& root);

    bool exists() const;
    std::uint64_t size() const; ///< 0 where there is no file
    /// What it really takes; less than its size when someone has made holes.
    std::uint64_t allocated() const;
    /// Larger: all of it is reserved in the file system, whose blocks stay unwritten; when that fails it keeps
    /// its size. Smaller: cut. The file is made when it is missing, and also holes of what it has are filled.
    void resize(std::uint64_t new_size);
    /// Where it lies on the file system's device (FIEMAP); synced first.
    std::vector<Range> places() const;
    std::string path() const { return root_ + "/" + std::string(balloon_name); }

  private:
    disktool::Descriptor open_for(int flags) const; ///< none: there is no such file
    disktool::Descriptor open_hidden() const;

    std::string root_;
    disktool::Descriptor folder_;
};

} // namespace disktool::ploop::cli
