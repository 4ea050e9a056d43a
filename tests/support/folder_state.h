// SPDX-License-Identifier: LGPL-2.1-or-later
// A folder with its files in memory, cheap to copy: what one of the moments of a recorded run leaves.
#pragma once

#include "support/memory_file.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace disktool::test {

/// Files with their names, as a crash leaves them.
struct FolderState {
    std::map<std::size_t, MemoryFile> files; ///< by the recorder's number
    std::map<std::string, std::size_t> names;

    /// Equal for equal states.
    std::uint64_t signature() const;
};

} // namespace disktool::test
