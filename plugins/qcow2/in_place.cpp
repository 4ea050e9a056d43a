// SPDX-License-Identifier: LGPL-2.1-or-later
#include "in_place.h"

#include "big_endian.h"

#include <algorithm>

namespace disktool::qcow2 {

namespace {
constexpr std::size_t piece_size = 4096;
}

void write_changed(File& file, std::uint64_t offset, std::span<const std::byte> before,
                   std::span<const std::byte> after) {
    std::size_t from = 0; // start of the changed pieces not written yet
    for (std::size_t at = 0; at < after.size(); at += piece_size) {
        const std::size_t length = std::min(piece_size, after.size() - at);
        if (!std::ranges::equal(before.subspan(at, length), after.subspan(at, length))) {
            continue;
        }
        if (from < at) {
            file.write(offset + from, after.subspan(from, at - from));
        }
        from = at + length;
    }
    if (from < after.size()) {
        file.write(offset + from, after.subspan(from));
    }
}

HeaderSector::HeaderSector(File& file) : file_(file) {
    file_.read(0, bytes_);
}

void HeaderSector::set_32(std::uint64_t at, std::uint32_t value) {
    store_big_endian<std::uint32_t>(bytes_, at, value);
}

void HeaderSector::set_64(std::uint64_t at, std::uint64_t value) {
    store_big_endian<std::uint64_t>(bytes_, at, value);
}

bool HeaderSector::clear_unknown_autoclear(const Header& header) {
    const std::uint64_t known = header.autoclear_features & known_autoclear;
    if (header.version < 3 || known == header.autoclear_features) {
        return false;
    }
    set_64(field::autoclear_features, known);
    return true;
}

void HeaderSector::write() {
    file_.write(0, bytes_);
    file_.sync_data();
}

} // namespace disktool::qcow2
