// SPDX-License-Identifier: LGPL-2.1-or-later
// Real file systems for the tests, made by mke2fs in sparse files, and changed by debugfs.
#pragma once

#include "ext4_plugin.h"
#include "support/file_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/filesystem.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace disktool::ext4::test {

/// What to make: size in KiB and options as one types them for mke2fs.
struct Recipe {
    const char* name; ///< of the test case
    std::uint64_t kib;
    const char* options;
};
void PrintTo(const Recipe& recipe, std::ostream* out);

/// One file system in a folder of its own, gone with this object.
class MadeFilesystem {
  public:
    /// With `files` files, of which every second one was then deleted: fragmented free space.
    explicit MadeFilesystem(const Recipe& recipe, int files = 0);

    const std::string& path() const { return path_; }
    std::uint64_t size() const { return std::filesystem::file_size(path_); }
    std::string beside(const std::string& name) const { return folder_ / name; }
    std::string copy(const std::string& name) const;

    /// One debugfs command that writes.
    void debugfs(const std::string& command);
    /// Overwrites bytes of the image.
    void patch(std::uint64_t offset, const std::string& bytes);
    void truncate(std::uint64_t size) { std::filesystem::resize_file(path_, size); }
    /// The value of a line of `dumpe2fs -h`.
    std::string header(const std::string& key) const;

  private:
    std::string make_files(int count) const;

    disktool::test::TemporaryFolder folder_;
    std::string path_;
};

bool fsck_clean(const std::string& path);

/// The file system on a file, open.
struct Opened {
    explicit Opened(const std::string& path) : device(path), filesystem(Plugin().open(device)) {}
    disktool::test::FileDevice device;
    std::unique_ptr<Filesystem> filesystem;
    Filesystem* operator->() const { return filesystem.get(); }
};

} // namespace disktool::ext4::test
