// SPDX-License-Identifier: LGPL-2.1-or-later
// Commands that work on the disk's content, through the verbs of the core: the partition and the file system
// follow the disk.
#pragma once

#include "options.h"
#include "running_verbs.h"

#include <cstdint>
#include <string>

namespace disktool::ploop::cli {

/// `ploop resize -s`. `sectors` is as given, not rounded. Gives the exit code; throws Error.
int resize_disk(const Options& options, const std::string& xml, std::uint64_t sectors);

int discard_disk(const Options& options, const std::string& xml, const DiscardOptions& request);

} // namespace disktool::ploop::cli
