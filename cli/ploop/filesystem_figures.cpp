// SPDX-License-Identifier: LGPL-2.1-or-later
#include "filesystem_figures.h"

#include "config/config.h"
#include "ext_figures.h"
#include "plugin/registry.h"
#include "verb/survey.h"

#include <disktool/devices.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace disktool::ploop::cli {

namespace {

constexpr std::size_t statfs_size = 40;
/// Of .statfs: no file system of Linux has larger blocks, nor so many bytes.
constexpr std::uint64_t largest_block = 1 << 20;
constexpr std::uint64_t most_bytes = 1ull << 60;

std::optional<FilesystemFigures> figures_beside(const PloopDisk& disk) {
    FileDoor& files = disk.doors().files;
    const std::vector<Uuid> chain = disk.descriptor.chain(disk.descriptor.top);
    const std::string path = directory_of(disk.file_of(chain.front())) + "/.statfs";
    const std::optional<FileStatus> status = files.status(path);
    if (!status || status->type != FileType::regular || status->size != statfs_size) {
        return std::nullopt;
    }
    for (const Uuid& uuid : chain) {
        const std::optional<FileStatus> image = files.status(disk.file_of(uuid));
        if (!image || image->modified_ns >= status->modified_ns) {
            return std::nullopt;
        }
    }
    std::array<std::byte, statfs_size> bytes{};
    const std::size_t count = files.open(path, {})->read_some(0, bytes);
    return parse_statfs(std::span(bytes).first(count));
}

std::uint64_t amount(const Details& details, std::string_view name) {
    for (const auto& [key, value] : details) {
        if (const auto* number = std::get_if<std::uint64_t>(&value); number != nullptr && key == name) {
            return *number;
        }
    }
    return 0;
}

FilesystemFigures figures_of(const Content& content) {
    if (content.type.starts_with("ext")) {
        return ext_figures(*content.window);
    }
    FilesystemFigures figures;
    figures.block_size = std::max<std::uint32_t>(content.usage->block_size, 1);
    figures.blocks = content.usage->size / figures.block_size;
    figures.free_blocks = std::min(content.usage->free / figures.block_size, figures.blocks);
    figures.inodes = amount(content.details, "inodes");
    figures.free_inodes = std::min(amount(content.details, "inodes_free"), figures.inodes);
    return figures;
}

[[noreturn]] void refuse(const PloopDisk& disk, const std::string& why) {
    throw PloopError(Exit::mount, ErrorCode::unsupported,
                     fmt::format("{}: there is no file system whose space could be told: {}", disk.path(), why),
                     Reason::filesystem_not_supported);
}

FilesystemFigures figures_of_disk(const PloopDisk& disk) {
    const std::unique_ptr<ChainDevice> chain = disk.open_chain(disk.descriptor.top, Access::read);
    CachedDevice cached(*chain);
    Registry registry(plugin_search_path(load_config().plugin_path));
    const DiskSurvey survey = survey_disk(cached, registry, {});
    for (const Content& content : survey.contents) {
        if (content.filesystem != nullptr && content.usage) {
            FilesystemFigures figures = figures_of(content);
            figures.source = "disk";
            return figures;
        }
    }
    for (const Content& content : survey.contents) {
        if (content.problem) {
            refuse(disk, content.problem->sentence);
        }
    }
    refuse(disk, "nothing that is known lies on the disk");
}

} // namespace

std::optional<FilesystemFigures> parse_statfs(std::span<const std::byte> bytes) {
    if (bytes.size() != statfs_size) {
        return std::nullopt;
    }
    const auto field = [&](std::size_t index) {
        std::uint64_t value = 0;
        for (std::size_t i = 8; i-- > 0;) {
            value = value << 8 | std::to_integer<std::uint64_t>(bytes[index * 8 + i]);
        }
        return value;
    };
    const FilesystemFigures figures{field(0), field(1), field(2), field(3), field(4), ".statfs"};
    if (figures.block_size == 0 || figures.block_size > largest_block ||
        figures.blocks > most_bytes / figures.block_size || figures.free_blocks > figures.blocks ||
        figures.free_inodes > figures.inodes) {
        return std::nullopt;
    }
    return figures;
}

FilesystemFigures filesystem_figures(const PloopDisk& disk) {
    if (std::optional<FilesystemFigures> beside = figures_beside(disk)) {
        return *beside;
    }
    return figures_of_disk(disk);
}

} // namespace disktool::ploop::cli
