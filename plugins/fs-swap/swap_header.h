// SPDX-License-Identifier: LGPL-2.1-or-later
// The header of a Linux swap area, its first page.
//
// Format (include/linux/swap.h of the kernel, union swap_header; mkswap): a signature in the last ten bytes of
// the page; for version 1 ("SWAPSPACE2"), from byte 1024 on, in the byte order of the machine that made it: the
// version, the number of the last page, how many pages are bad (u32 each), UUID, 16 bytes of label; at 1536 the
// numbers of the bad pages (u32). A system that sleeps puts another signature there: S1SUSPEND (swsusp),
// ULSUSPEND (uswsusp), LINHIB0001 (TuxOnIce); the kernel keeps the old one beside it until it wakes.
#pragma once

#include <disktool/block_device.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace disktool::swap {

constexpr std::size_t smallest_page = 4 << 10;
constexpr std::size_t largest_page = 64 << 10;
/// mkswap makes no smaller ones.
constexpr std::uint64_t least_pages = 10;

enum class SwapKind { version_0, version_1, hibernated };

struct SwapHeader {
    SwapKind kind = SwapKind::version_1;
    std::uint32_t page_size = 0; ///< bytes
    bool foreign = false;        ///< its numbers are big-endian
    // Of version 1, and of a hibernated one where the rest of the page is one of version 1:
    std::uint32_t version = 0;
    std::uint32_t last_page = 0;
    std::vector<std::uint32_t> bad_pages; ///< sorted
    std::string label;
    std::string uuid;

    std::uint64_t size() const { return (std::uint64_t{last_page} + 1) * page_size; }
};

/// None where there is no signature. Throws damaged where a header of version 1 makes no sense.
std::optional<SwapHeader> read_header(BlockDevice& device);

/// Writes the last page's number, and drops the bad pages behind it; all else stays as it is.
void write_last_page(BlockDevice& device, const SwapHeader& header, std::uint32_t last_page);

} // namespace disktool::swap
