// SPDX-License-Identifier: LGPL-2.1-or-later
#include "check_header.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <array>
#include <optional>

namespace disktool::ploop {

namespace {

constexpr std::uint32_t only_type = 2;

/// What makes the fields useless, as the original prints it.
std::optional<std::string> fault_of(const Header& header, const std::string& path) {
    if (header.type != only_type) {
        return fmt::format("Wrong type in image {}", path);
    }
    if (!is_cluster_size(header.cluster_sectors)) {
        return fmt::format("Wrong cluster size {} in image {}", header.cluster_sectors, path);
    }
    if (header.data_start_sectors == 0 || header.data_start_sectors % header.cluster_sectors != 0) {
        return fmt::format("Wrong first block offset in image {}", path);
    }
    return std::nullopt;
}

} // namespace

FoundHeader find_header(File& file, bool mends_entries, const CheckWriter& writer) {
    FoundHeader found;
    const auto fatal = [&](const std::string& sentence) {
        writer.err(sentence);
        found.exit = Exit::fatal_check;
        return found;
    };
    std::array<std::byte, header_size> bytes{};
    if (file.read_some(0, bytes) < bytes.size()) {
        writer.out("Short read PVD header");
        found.exit = Exit::read;
        return found;
    }
    Header& header = found.header;
    try {
        header = parse_header(bytes, file.path());
    } catch (const Error& error) {
        return fatal(error.what());
    }
    if (const auto fault = fault_of(header, file.path())) {
        return fatal(*fault);
    }
    found.entries = entries_of(header.disk_sectors, header.cluster_sectors);
    // A header counts in 32 bits; more would also overflow the sum of table_clusters().
    const bool fits = found.entries <= UINT32_MAX &&
                      table_clusters(found.entries, header.cluster_sectors) <= header.data_start();
    if (header.entries != found.entries) {
        found.wrong_entries = true;
        const std::string sentence =
            fmt::format("Wrong number of BAT entries {} in image {}, a disk of {} sectors has {}",
                        header.entries, file.path(), header.disk_sectors, found.entries);
        if (!mends_entries || !fits) {
            return fatal(sentence);
        }
        writer.err(sentence);
    } else if (!fits) {
        return fatal(fmt::format("Wrong first block offset in image {}", file.path()));
    }
    return found;
}

} // namespace disktool::ploop
