// SPDX-License-Identifier: LGPL-2.1-or-later
// Real file systems for the tests: made by mkfs.xfs in sparse files, filled by the kernel through loop mounts.
#pragma once

#include "superblock.h"
#include "support/file_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"
#include "xfs_plugin.h"

#include <disktool/extents.h>
#include <disktool/filesystem.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace disktool::xfs::test {

/// What to make: size in MiB and options as one types them for mkfs.xfs.
struct Recipe {
    const char* name; ///< of the test case
    std::uint64_t mib;
    const char* options;
};
void PrintTo(const Recipe& recipe, std::ostream* out);

/// An image mounted by the kernel on a loop device, unmounted in any case at the end.
class Mounted {
  public:
    Mounted(const std::string& image, const std::string& point, const std::string& options = "");
    Mounted(const Mounted&) = delete;
    Mounted& operator=(const Mounted&) = delete;
    ~Mounted();

    std::string operator/(const std::string& name) const { return point_ + "/" + name; }
    const std::string& point() const { return point_; }

  private:
    std::string point_;
};

/// One file system in a folder of its own, gone with this object.
class MadeFilesystem {
  public:
    /// Empty, or with `files` files, of which every second one was then deleted: fragmented free space. Where
    /// it can reflink, some are clones of others.
    explicit MadeFilesystem(const Recipe& recipe, int files = 0);

    const std::string& path() const { return path_; }
    std::uint64_t size() const { return std::filesystem::file_size(path_); }
    std::string beside(const std::string& name) const { return folder_ / name; }
    std::string copy(const std::string& name) const;
    void truncate(std::uint64_t size) { std::filesystem::resize_file(path_, size); }
    Superblock superblock() const;

    /// Runs xfs_db commands that only read; what they print.
    std::string look(std::vector<std::string> commands) const;
    /// One number out of a structure: ("sb 0", "fdblocks").
    std::uint64_t number(const std::string& structure, const std::string& field) const;
    /// Overwrites bytes of the image.
    void patch(std::uint64_t offset, const std::string& bytes);
    /// Makes the checksum right of what of version 5 lies at `offset`.
    void seal(std::uint64_t offset, std::uint64_t length, std::uint64_t field);

    /// Where the data of the remaining files lies, by xfs_db.
    ExtentSet extents_of_files() const;

  private:
    void fill_without_kernel(std::vector<std::string> mkfs);

    disktool::test::TemporaryFolder folder_;
    std::string path_;
    int files_ = 0;
};

/// Number after number, as they lie on disk.
std::string big_endian_bytes(std::uint64_t value, std::size_t bytes);

/// Files of random sizes in a few folders, every second one deleted. `largest` bytes at most each.
void fill(const Mounted& mounted, int files, std::size_t largest);
/// `sha256sum` of all files, mounted read-only. Only version 5.
std::string sums_of_files(const std::string& image, const std::string& mount_point);
/// Every byte becomes 0xAA. Of extents larger than `whole` only the first and last 64 KiB, and 64 KiB in every
/// GiB, as nobody has room for a TiB.
void overwrite(const std::string& image, const ExtentSet& extents, std::uint64_t whole = UINT64_MAX);
bool repair_clean(const std::string& image);

/// The file system on a file, open.
struct Opened {
    explicit Opened(const std::string& path) : device(path), filesystem(Plugin().open(device)) {}
    disktool::test::FileDevice device;
    std::unique_ptr<Filesystem> filesystem;
    Filesystem* operator->() const { return filesystem.get(); }
};

} // namespace disktool::xfs::test
