// SPDX-License-Identifier: LGPL-2.1-or-later
// Small images, broken field by field, and what `check` says of them.
#pragma once

#include "check.h"
#include "header.h"

#include <disktool/doors.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace disktool::ploop::test {

/// An image of 320 clusters of 32 KiB each, in use: slots 0, 3, 7, 8 and 319 at the file clusters 2, 1, 4, 5
/// and 3. Every data cluster is full of a byte of its own. All of it may be changed before write().
struct SmallImage {
    explicit SmallImage(Version version = Version::v2);

    Header header;
    std::map<std::uint64_t, std::uint32_t> entries; ///< as they lie on disk
    std::uint64_t clusters = 6;                     ///< of the file; the data ones are filled
    std::vector<std::byte> behind;                  ///< what lies behind them

    /// Names the file cluster as the version does.
    std::uint32_t entry(std::uint64_t cluster) const;
    void write(const std::string& path) const;
};

/// The byte that SmallImage fills the file cluster with.
std::byte filling(std::uint64_t cluster);

/// The header, and for each slot that is not empty and whose cluster is in the file, its first and last byte's
/// common value; 0x100 where they differ. Read by code that shares nothing with the plugin.
struct SeenImage {
    std::uint32_t in_use = 0, entries = 0, flags = 0;
    std::uint64_t extension_sector = 0;
    std::uint64_t bytes = 0; ///< of the file
    std::map<std::uint64_t, std::uint32_t> table;
    std::map<std::uint64_t, unsigned> content;
    /// Slots that name no whole cluster behind the tables, or one that a slot before them has.
    std::map<std::uint64_t, std::string> faults;
};
SeenImage look_at(const std::string& path);

/// "Fcd" and the like; "b" gives 64 sectors.
CheckOptions check_options(const std::string& letters);

struct CheckRun {
    CheckResult result;
    std::string out, err; ///< lines; the image's folder is written as DIR
};
CheckRun run_check(const std::string& path, const std::string& letters, FileDoor& door = real_doors().files);

struct StackFile {
    std::string path;
    bool raw = false;
};
CheckRun run_check_stack(const std::vector<StackFile>& base_to_top, std::uint32_t cluster_sectors,
                         FileDoor& door = real_doors().files);

} // namespace disktool::ploop::test
