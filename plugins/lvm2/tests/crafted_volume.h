// SPDX-License-Identifier: LGPL-2.1-or-later
// A physical volume written byte by byte, so that each byte of it can be wrong. 64 MiB, the label in sector 1,
// a metadata area at 4 KiB of 60 KiB, and (on demand) one of 64 KiB at the end; extents of 1 MiB from 1 MiB on.
#pragma once

#include "support/memory_device.h"

#include <disktool/size.h>

#include <cstdint>
#include <string>

namespace disktool::lvm2::test {

constexpr std::uint64_t label_at = 512;
constexpr std::uint64_t first_area = 4096;
constexpr std::uint64_t area_size = 60 * KiB;
constexpr std::uint64_t second_area = 64 * MiB - 64 * KiB;

/// A whole text of the group "vg" with these sections in it.
std::string group_text(int sequence, const std::string& volumes, const std::string& physical = "",
                       const std::string& status = R"("RESIZEABLE", "READ", "WRITE")");

struct CraftedVolume {
    /// With this text in the first metadata area, at its offset `at`; in the second the other, when it is
    /// given.
    explicit CraftedVolume(const std::string& text, const std::string& second = "", std::uint64_t at = 512);

    void put(std::uint64_t offset, const std::string& bytes);
    /// Makes the checksums of the label and of the header of a metadata area right again.
    void seal_label();
    void seal_area(std::uint64_t area);
    /// Writes the text and the header of the area.
    void write_area(std::uint64_t area, std::uint64_t size, const std::string& text, std::uint64_t at);

    disktool::test::MemoryDevice device{64 * MiB};
};

std::string little_endian(std::uint64_t value, std::size_t bytes);

} // namespace disktool::lvm2::test
