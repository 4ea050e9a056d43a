// SPDX-License-Identifier: LGPL-2.1-or-later
#include "statfs_file.h"

#include <disktool/error.h>

#include <sys/vfs.h>

#include <array>
#include <cerrno>
#include <string_view>

namespace disktool::ploop::cli {

namespace {

constexpr std::size_t fields = 5; // of 8 bytes each
/// No file system of Linux has larger blocks, nor so many bytes.
constexpr std::uint64_t largest_block = 1 << 20;
constexpr std::uint64_t most_bytes = 1ull << 60;
constexpr std::uint32_t new_mode = 0644;

} // namespace

std::string statfs_path(const std::string& base_image) {
    return directory_of(base_image) + "/.statfs";
}

std::optional<FilesystemFigures> parse_statfs(std::span<const std::byte> bytes) {
    if (bytes.size() != fields * 8) {
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

std::vector<std::byte> statfs_bytes(const FilesystemFigures& figures) {
    const std::array<std::uint64_t, fields> values = {figures.block_size, figures.blocks, figures.free_blocks,
                                                      figures.inodes, figures.free_inodes};
    std::vector<std::byte> bytes;
    for (const std::uint64_t value : values) {
        for (unsigned i = 0; i < 8; ++i) {
            bytes.push_back(static_cast<std::byte>(value >> (8 * i)));
        }
    }
    return bytes;
}

FilesystemFigures figures_of_mount(const std::string& folder) {
    struct statfs told {};
    if (statfs(folder.c_str(), &told) != 0) {
        throw SystemError("Cannot ask how full it is:", folder, errno);
    }
    return {static_cast<std::uint64_t>(told.f_bsize),
            told.f_blocks,
            told.f_bfree,
            told.f_files,
            told.f_ffree,
            "mount"};
}

void store_statfs(FileDoor& files, const std::string& base_image, const FilesystemFigures& figures) {
    const std::vector<std::byte> bytes = statfs_bytes(figures);
    files.replace_text(statfs_path(base_image), {reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                       new_mode);
}

void remove_statfs(FileDoor& files, const std::string& base_image) {
    if (files.status(statfs_path(base_image), false)) {
        files.remove(statfs_path(base_image));
    }
}

} // namespace disktool::ploop::cli
