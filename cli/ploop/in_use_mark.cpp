// SPDX-License-Identifier: LGPL-2.1-or-later
#include "in_use_mark.h"

#include "header.h"

#include <disktool/doors.h>
#include <disktool/error.h>

#include <fmt/format.h>

#include <array>

namespace disktool::ploop::cli {

std::optional<bool> bears_mark(const std::string& image) {
    try {
        std::array<std::byte, header_size> bytes{};
        const std::unique_ptr<File> file = real_doors().files.open(image, {});
        file->read(0, bytes);
        return parse_header(bytes, image).is_in_use();
    } catch (const Error&) {
        return std::nullopt;
    }
}

std::string way_to_repair(const std::string& descriptor, const std::string& image) {
    return descriptor.empty()
               ? fmt::format("\"ploop check -d {}\" repairs it", image)
               : fmt::format("\"ploop check {}\" repairs it, and so does the next mount", descriptor);
}

} // namespace disktool::ploop::cli
