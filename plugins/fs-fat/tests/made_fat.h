// SPDX-License-Identifier: LGPL-2.1-or-later
// Real file systems for the tests: FAT filled with mtools, exFAT through exfat-fuse.
#pragma once

#include "fat_plugin.h"
#include "support/file_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/filesystem.h>

#include <cstdint>
#include <iosfwd>
#include <map>
#include <memory>
#include <string>

namespace disktool::fat::test {

struct Recipe {
    const char* name;
    std::uint64_t kib;
    const char* command; ///< "mkfs.fat -F 32 -s 1"
};
void PrintTo(const Recipe& recipe, std::ostream* out);

/// One file system in a folder of its own; nothing stays mounted or attached.
class MadeFat {
  public:
    explicit MadeFat(const Recipe& recipe);

    const std::string& path() const { return path_; }
    bool exfat() const { return exfat_; }
    std::string beside(const std::string& name) const { return folder_ / name; }
    std::string copy(const std::string& name) const;
    /// Puts so many files in, and deletes every second one: fragmented free space.
    void fill(int files);
    /// sha256 of every file of an image made by fill.
    std::map<std::string, std::string> sums(const std::string& image) const;
    void patch(std::uint64_t offset, const std::string& bytes);
    std::string bytes(std::uint64_t offset, std::uint64_t length) const;
    std::string blkid(const std::string& tag) const;
    /// Makes the checksum of exFAT's boot region right again.
    void seal_exfat();

  private:
    disktool::test::TemporaryFolder folder_;
    std::string path_;
    bool exfat_;
};

bool fsck_clean(const std::string& path, bool exfat);
/// Is there what puts files into an exFAT (exfat-fuse)?
bool exfat_mountable();

struct Opened {
    explicit Opened(const std::string& path) : device(path), filesystem(Plugin().open(device)) {}
    disktool::test::FileDevice device;
    std::unique_ptr<Filesystem> filesystem;
    Filesystem* operator->() const { return filesystem.get(); }
};

} // namespace disktool::fat::test
