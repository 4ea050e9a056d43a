// SPDX-License-Identifier: LGPL-2.1-or-later
#include "filesystem_figures.h"

#include "config/config.h"
#include "ext_figures.h"
#include "plugin/registry.h"
#include "statfs_file.h"
#include "verb/survey.h"

#include <disktool/devices.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace disktool::ploop::cli {

namespace {

constexpr std::size_t statfs_size = 40;

std::optional<FilesystemFigures> figures_beside(const PloopDisk& disk) {
    FileDoor& files = disk.doors().files;
    const std::vector<Uuid> chain = disk.descriptor.chain(disk.descriptor.top);
    const std::string path = statfs_path(disk.file_of(chain.front()));
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

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
    throw PloopError(Exit::mount, ErrorCode::unsupported,
                     fmt::format("{}: there is no file system whose space could be told: {}", name, why),
                     Reason::filesystem_not_supported);
}

} // namespace

FilesystemFigures filesystem_figures(BlockDevice& device, const std::string& name) {
    CachedDevice cached(device);
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
            refuse(name, content.problem->sentence);
        }
    }
    refuse(name, "nothing that is known lies on the disk");
}

FilesystemFigures filesystem_figures(const PloopDisk& disk) {
    if (std::optional<FilesystemFigures> beside = figures_beside(disk)) {
        return *beside;
    }
    const std::unique_ptr<ChainDevice> chain = disk.open_chain(disk.descriptor.top, Access::read);
    return filesystem_figures(*chain, disk.path());
}

} // namespace disktool::ploop::cli
