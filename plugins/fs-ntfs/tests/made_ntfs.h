// SPDX-License-Identifier: GPL-2.0-or-later
// Real NTFS file systems for the tests: made by mkntfs in sparse files, filled through ntfs-3g.
#pragma once

#include "boot_sector.h"
#include "ntfs_plugin.h"
#include "support/file_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"
#include "volume.h"

#include <disktool/extents.h>
#include <disktool/filesystem.h>
#include <disktool/subprocess.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace disktool::ntfs::test {

/// What to make: size in bytes and options as one types them for mkntfs.
struct Recipe {
    const char* name; ///< of the test case
    std::uint64_t size;
    const char* options;
};
void PrintTo(const Recipe& recipe, std::ostream* out);

/// Mounted by ntfs-3g while it lives; when it goes, ntfs-3g has ended and all is written.
class Mount {
  public:
    explicit Mount(const std::string& image, const std::string& options = "rw");
    Mount(const Mount&) = delete;
    Mount& operator=(const Mount&) = delete;
    ~Mount();

    std::filesystem::path operator/(const std::string& name) const { return folder_.path() / name; }
    const std::filesystem::path& path() const { return folder_.path(); }

  private:
    disktool::test::TemporaryFolder folder_;
    std::unique_ptr<Process> server_;
};

/// One file system in a folder of its own, gone with this object.
class MadeNtfs {
  public:
    explicit MadeNtfs(const Recipe& recipe);

    const std::string& path() const { return path_; }
    std::uint64_t size() const { return std::filesystem::file_size(path_); }
    std::string beside(const std::string& name) const { return folder_ / name; }
    std::string copy(const std::string& name) const;
    /// Overwrites bytes of the image.
    void patch(std::uint64_t offset, std::string_view bytes);
    /// Overwrites bytes of MFT record `number`, before the end of its first block, where they lie plainly.
    void patch_record(std::uint64_t number, std::size_t offset, std::string_view bytes);
    std::string read(std::uint64_t offset, std::size_t count) const;

  private:
    disktool::test::TemporaryFolder folder_;
    std::string path_;
};

/// A way to fill a file system, below the folder that it is given.
struct Pattern {
    const char* name;
    void (*fill)(const std::filesystem::path& root);
    const char* mount = "rw";
};
const std::vector<Pattern>& patterns();
void fill(const std::string& image, const Pattern& pattern);
void write_random(const std::filesystem::path& path, std::uint64_t size, unsigned seed);
/// Of all files: name, alternate data stream "stream" where there is one, and sha256.
std::string contents_of(const std::string& image);

/// `ntfsresize -i -f` checks every run list against $Bitmap; `ntfsfix -n` the mirror, the boot sector and more.
void expect_sound(const std::string& path);
std::string little_endian(std::uint64_t value, std::size_t bytes);

/// The same questions answered by libntfs-3g.
struct Oracle {
    explicit Oracle(const std::string& image);
    ExtentSet free;
    bool hibernated = false;
    bool journal_clean = false; ///< and not of version 2
};
void set_volume_flags(const std::string& image, std::uint16_t flags);

/// The file system on a file, open.
struct Opened {
    explicit Opened(const std::string& path) : device(path), filesystem(Plugin().open(device)) {}
    disktool::test::FileDevice device;
    std::unique_ptr<Filesystem> filesystem;
    Filesystem* operator->() const { return filesystem.get(); }
};

/// As Opened, one layer further down.
struct OpenedVolume {
    explicit OpenedVolume(const std::string& path) : device(path), volume(device, *BootSector::read(device)) {}
    disktool::test::FileDevice device;
    Volume volume;
    std::uint64_t place_of(std::uint64_t file, AttributeType type = AttributeType::data) const {
        return volume.need(file, type).runs.front().lcn * volume.boot().cluster_size();
    }
};

} // namespace disktool::ntfs::test
