// SPDX-License-Identifier: LGPL-2.1-or-later
// Real file systems for the tests: made by mkfs.btrfs in sparse files, filled by the kernel through a loop
// device.
#pragma once

#include "btrfs_filesystem.h"
#include "btrfs_plugin.h"
#include "superblock.h"
#include "support/file_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace disktool::btrfs::test {

/// What to make: size in MiB, options as one types them for mkfs.btrfs and mount.
struct Recipe {
    const char* name; ///< of the test case
    std::uint64_t mib;
    const char* options = "";
    const char* mount_options = "noatime";
};
void PrintTo(const Recipe& recipe, std::ostream* out);

/// One file system in a folder of its own, gone with this object.
class MadeFilesystem {
  public:
    explicit MadeFilesystem(const Recipe& recipe);

    const std::string& path() const { return path_; }
    const std::string& mount_options() const { return mount_options_; }
    std::uint64_t size() const { return std::filesystem::file_size(path_); }
    std::string beside(const std::string& name) const { return folder_ / name; }
    std::string copy(const std::string& name) const;
    /// Files of all kinds, most of them deleted again, snapshots, reflinks: fragmented free space.
    void fill(int files);

    /// Overwrites bytes of the superblock, at an offset in it, in its first place, and puts its checksum right.
    void patch_superblock(std::uint64_t offset, const std::string& bytes,
                          std::uint64_t place = superblock_places[0]);
    /// Changes the node at a logical address, all copies or the first ones, and puts its checksum right.
    using Change = std::function<void(std::span<std::byte> node)>;
    void change_node(std::uint64_t logical, const Change& change, unsigned copies = 9);
    /// Where the copies of a logical address lie.
    std::vector<std::uint64_t> places(std::uint64_t logical) const;
    /// The root node of a tree.
    std::uint64_t root_of(std::uint64_t tree_id) const;
    void patch(std::uint64_t offset, const std::string& bytes);
    void truncate(std::uint64_t size) { std::filesystem::resize_file(path_, size); }
    std::string dump_tree(const std::string& tree_name) const;

  private:
    disktool::test::TemporaryFolder folder_;
    std::string path_;
    std::string mount_options_;
};

std::string little_endian(std::uint64_t value, std::size_t bytes);

/// Mounted by the kernel on a loop device, unmounted in any case at the end.
class Mounted {
  public:
    Mounted(const std::string& image, const std::string& point, const std::string& options);
    explicit Mounted(const MadeFilesystem& made, const std::string& more = "")
        : Mounted(made.path(), made.beside("mnt"), made.mount_options() + more) {}
    ~Mounted();
    Mounted(const Mounted&) = delete;
    Mounted& operator=(const Mounted&) = delete;

    const std::string& point() const { return point_; }
    std::string operator/(const std::string& name) const { return point_ + "/" + name; }

  private:
    std::string point_;
};

bool check_clean(const std::string& image);
/// Name and SHA-256 of every file of an image but large ones, which hold nothing.
std::string digest_of_files(const MadeFilesystem& made, const std::string& image);

/// The file system on a file, open.
struct Opened {
    explicit Opened(const std::string& path) : device(path), filesystem(Plugin().open(device)) {}
    disktool::test::FileDevice device;
    std::unique_ptr<Filesystem> filesystem;
    Filesystem* operator->() const { return filesystem.get(); }
    BtrfsFilesystem& btrfs() const { return static_cast<BtrfsFilesystem&>(*filesystem); }
};

} // namespace disktool::btrfs::test
