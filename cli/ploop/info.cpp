// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"
#include "filesystem_figures.h"

#include <fmt/format.h>

#include <array>

namespace disktool::ploop::cli {

namespace {

struct TopImage {
    std::uint64_t disk_sectors = 0;
    std::uint32_t cluster_sectors = 0;
    unsigned version = 0; ///< 0: raw
};

/// From the header of the top image alone: a damaged BAT is no reason not to tell the size.
TopImage read_top(const PloopDisk& disk) {
    const Descriptor& descriptor = disk.descriptor;
    const std::string path = disk.file_of(descriptor.top);
    const std::unique_ptr<File> file = disk.doors().files.open(path, {});
    const ImageEntry* entry = descriptor.image(descriptor.top);
    if (entry != nullptr && entry->raw) {
        return {file->status().size / sector_size, descriptor.cluster_sectors, 0};
    }
    std::array<std::byte, header_size> bytes{};
    file->read(0, bytes);
    const Header header = parse_header(bytes, path);
    check_header(header, path);
    if (header.is_in_use()) {
        throw Error(ErrorCode::damaged,
                    fmt::format("{} is in use, or was not closed in order: ploop check puts it right", path),
                    Reason::image_dirty);
    }
    return {header.disk_sectors, header.cluster_sectors, static_cast<unsigned>(header.version)};
}

void tell_geometry(Output& output, const PloopDisk& disk) {
    const TopImage geometry = read_top(disk);
    output.result(fmt::format("size:\t\t{}\nblocksize:\t{}\nfmt_version:\t{}\n", geometry.disk_sectors,
                              geometry.cluster_sectors, geometry.version));
    output.json()["size"] = geometry.disk_sectors;
    output.json()["blocksize"] = geometry.cluster_sectors;
    output.json()["fmt_version"] = geometry.version;
}

/// An image that is not mounted has none, which is no error.
void tell_device(Output& output) {
    output.result("device:\t\t\npartition:\t\n");
    output.json()["device"] = nullptr;
    output.json()["partition"] = nullptr;
}

void tell_filesystem(Output& output, const PloopDisk& disk) {
    const FilesystemFigures figures = filesystem_figures(disk);
    const std::uint64_t used_inodes = figures.inodes - figures.free_inodes;
    const auto row = [&](const auto& what, const auto& size, const auto& used) {
        output.result(fmt::format("{:>11} {:>14} {:>14}\n", what, size, used));
    };
    row("resource", "Size", "Used");
    row("1k-blocks", figures.kibibytes(), figures.used_kibibytes());
    row("inodes", figures.inodes, used_inodes);
    output.json()["filesystem"] = {{"source", figures.source}, {"block_size", figures.block_size},
                                   {"blocks", figures.blocks}, {"free_blocks", figures.free_blocks},
                                   {"inodes", figures.inodes}, {"free_inodes", figures.free_inodes}};
}

} // namespace

int run_info(Options& options, const std::vector<std::string>& words) {
    bool geometry = false;
    bool device = false;
    CommandLine line(options, words, "sd");
    while (const char letter = line.next()) {
        geometry = geometry || letter == 's';
        device = device || letter == 'd';
    }
    const std::unique_ptr<PloopDisk> disk = open_disk(options, descriptor_operand(line), Access::read);
    if (geometry) {
        tell_geometry(*options.output, *disk);
    }
    if (device) {
        tell_device(*options.output);
    }
    if (!geometry && !device) {
        tell_filesystem(*options.output, *disk);
    }
    return 0;
}

} // namespace disktool::ploop::cli
