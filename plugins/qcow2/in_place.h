// SPDX-License-Identifier: LGPL-2.1-or-later
// Changes of structures where they lie, in pieces that are old or new after a power cut.
#pragma once

#include "header.h"

#include <disktool/file.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace disktool::qcow2 {

/// Autoclear features that we keep true while we change an image.
constexpr std::uint64_t known_autoclear = autoclear::bitmaps | autoclear::data_file_raw;

/// Writes the pieces of `after` that differ from `before` (of the same length) to `offset` of the file;
/// neighbours go together. Pieces have 4 KiB, or what is left at the end.
void write_changed(File& file, std::uint64_t offset, std::span<const std::byte> before,
                   std::span<const std::byte> after);

/// The first sector of the file, which holds every field of the header that we change. Disks write a sector
/// whole or not at all: so all changes of one write() are there, or none.
class HeaderSector {
  public:
    static constexpr std::size_t size = 512; ///< bytes

    explicit HeaderSector(File& file);

    /// at: one of field::...
    void set_32(std::uint64_t at, std::uint32_t value);
    void set_64(std::uint64_t at, std::uint64_t value);
    /// As everyone must who writes to an image and does not know what they stand for. False: there are none.
    bool clear_unknown_autoclear(const Header& header);
    /// Syncs.
    void write();

  private:
    File& file_;
    std::array<std::byte, size> bytes_;
};

} // namespace disktool::qcow2
