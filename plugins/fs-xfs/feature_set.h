// SPDX-License-Identifier: LGPL-2.1-or-later
// Version and feature bits of an XFS superblock, and their names.
#pragma once

#include <cstdint>
#include <string>

namespace disktool::xfs {

/// Version 4 has its features in versionnum and features2, version 5 has four sets more. A program that does
/// not know a bit may use the file system all the same (compatible), may read its files
/// (read_only_compatible), must leave it alone (incompatible), or must not replay its log (log_incompatible).
/// Source: "XFS Algorithms & Data Structures", Superblocks.
struct Features {
    std::uint16_t versionnum = 0;
    std::uint32_t features2 = 0;
    std::uint32_t compatible = 0;
    std::uint32_t read_only_compatible = 0;
    std::uint32_t incompatible = 0;
    std::uint32_t log_incompatible = 0;

    unsigned version() const { return versionnum & 0xf; }
    bool has_checksums() const { return version() == 5; }
    bool has_meta_uuid() const;
    bool has_finobt() const;
    bool has_rmapbt() const;
    bool has_reflink() const;
    bool has_lazy_counters() const;
    bool needs_repair() const;
    /// The log may hold items of a kind that not every kernel can replay.
    bool has_unknown_log_features() const;

    /// "crc finobt reflink ftype", as mkfs.xfs calls them where it has a name for them; unknown ones as
    /// "incompat_bit_11".
    std::string names() const;
    /// Those that forbid to read the free space, by name; empty when there is none. Unknown read-only
    /// compatible ones are among them: such a bit promises that files can be read, not that free space still
    /// means what it meant. Unknown compatible bits are not: even a writer may ignore them.
    std::string obstacles() const;
};

} // namespace disktool::xfs
