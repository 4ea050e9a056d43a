// SPDX-License-Identifier: LGPL-2.1-or-later
// Commands that work on the disk's content, through the verbs of the core: the partition and the file system
// follow the disk.
#pragma once

#include "options.h"

#include <cstdint>
#include <string>

namespace disktool::ploop::cli {

/// `ploop resize -s`. `sectors` is as given, not rounded. Gives the exit code; throws Error.
int resize_disk(const Options& options, const std::string& xml, std::uint64_t sectors);

/// Of `ploop balloon discard`; sizes in sectors, as given.
struct DiscardOptions {
    bool automount = false;
    bool defrag = false;
    bool stat = false;                   ///< only show the four sizes
    std::uint64_t to_free_sectors = 0;   ///< 0: as much as there is
    std::uint64_t min_block_sectors = 0; ///< 0: one cluster
};
int discard_disk(const Options& options, const std::string& xml, const DiscardOptions& request);

} // namespace disktool::ploop::cli
