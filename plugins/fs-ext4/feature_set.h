// SPDX-License-Identifier: LGPL-2.1-or-later
// Feature bits of an ext2/3/4 superblock and their names.
#pragma once

#include <cstdint>
#include <string>

namespace disktool::ext4 {

/// The three sets of a superblock. A program that does not know a bit may still use the file system
/// (compatible), may read it (read_only_compatible), or must leave it alone (incompatible).
struct Features {
    std::uint32_t compatible = 0;
    std::uint32_t incompatible = 0;
    std::uint32_t read_only_compatible = 0;

    bool any() const { return (compatible | incompatible | read_only_compatible) != 0; }
    /// The names that mke2fs and dumpe2fs use, separated by blanks: "has_journal extent FEATURE_I25".
    std::string names() const;
    /// Those that libext2fs or this plugin does not know. Unknown compatible ones are among them: e2fsck and
    /// resize2fs refuse them too.
    Features unknown() const;
    /// Not a file system but the external journal of one.
    bool journal_device() const;
    /// "ext2", "ext3" or "ext4", as blkid calls it: the oldest one that knows every bit.
    std::string type() const;
};

} // namespace disktool::ext4
