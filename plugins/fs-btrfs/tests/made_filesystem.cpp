// SPDX-License-Identifier: LGPL-2.1-or-later
#include "made_filesystem.h"

#include "layout.h"
#include "tree_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <ostream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace disktool::btrfs::test {

namespace dt = disktool::test;

namespace {

std::vector<std::string> words(const std::string& text) {
    std::istringstream stream(text);
    return {std::istream_iterator<std::string>(stream), {}};
}

std::string content(std::mt19937& random, std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) // half of it compresses
        text[i] = (i / 8192) % 2 == 0 ? static_cast<char>(random()) : static_cast<char>(i / 8192);
    return text;
}

/// Chunks of an image, for finding places in it.
struct Layout {
    explicit Layout(const std::string& path)
        : device(path), super(*read_superblock(device, superblock_places[0])),
          chunks(read_chunks(device, super)) {}
    dt::FileDevice device;
    Superblock super;
    ChunkMap chunks;
};

} // namespace

void PrintTo(const Recipe& recipe, std::ostream* out) {
    *out << recipe.name << " (" << recipe.mib << " MiB, " << recipe.options << ", " << recipe.mount_options
         << ")";
}

MadeFilesystem::MadeFilesystem(const Recipe& recipe)
    : path_(folder_ / "disk.img"), mount_options_(recipe.mount_options) {
    std::ofstream(path_).close();
    truncate(recipe.mib * MiB);
    std::vector<std::string> command = {"mkfs.btrfs", "-q"};
    for (std::string& word : words(recipe.options))
        command.push_back(std::move(word));
    command.push_back(path_);
    dt::run_tool(std::move(command));
}

std::string MadeFilesystem::copy(const std::string& name) const {
    std::string to = beside(name);
    dt::run_tool({"cp", "--sparse=always", path_, to});
    return to;
}

void MadeFilesystem::fill(int files) {
    std::mt19937 random(static_cast<unsigned>(files));
    Mounted mounted(*this);
    std::filesystem::create_directory(mounted / "d");
    dt::run_tool({"btrfs", "subvolume", "create", mounted / "sub"});
    const auto file = [&](int i) { return mounted / fmt::format("{}/f{}", i % 2 == 0 ? "d" : "sub", i); };
    for (int i = 0; i < files; ++i)
        dt::write_file(file(i), content(random, random() % (i % 8 == 0 ? 300000 : 9000)));
    // Single sectors with sectors of the next file between them, so that deleting leaves many small holes.
    dt::run_tool({"sync", "-f", mounted.point()});
    for (int i = 0; i < files / 3; ++i)
        dt::write_file(file(i), content(random, 4096 + random() % 8192));
    dt::run_tool({"btrfs", "subvolume", "snapshot", mounted / "sub", mounted / "snapshot"});
    dt::run_tool({"cp", "--reflink=always", file(0), mounted / "reflink"});
    dt::run_tool({"fallocate", "-l", "3M", mounted / "preallocated"});
    dt::run_tool({"sync", "-f", mounted.point()});
    for (int i = 0; i < files; ++i)
        if (i % 3 != 0)
            std::filesystem::remove(file(i));
}

void MadeFilesystem::patch(std::uint64_t offset, const std::string& bytes) {
    dt::FileDevice(path_, Access::write).write(offset, std::as_bytes(std::span(bytes)));
}

void MadeFilesystem::patch_superblock(std::uint64_t offset, const std::string& bytes, std::uint64_t place) {
    dt::FileDevice device(path_, Access::write);
    std::array<std::byte, superblock_size> raw;
    device.read(place, raw);
    std::ranges::copy(std::as_bytes(std::span(bytes)), raw.begin() + static_cast<std::ptrdiff_t>(offset));
    const auto type = static_cast<ChecksumType>(load<std::uint16_t>(raw, 0xc4));
    if (is_known(type))
        set_checksum(type, raw);
    device.write(place, raw);
}

std::vector<std::uint64_t> MadeFilesystem::places(std::uint64_t logical) const {
    const Layout layout(path_);
    const Chunk* chunk = layout.chunks.find(logical, layout.super.sector_size);
    if (chunk == nullptr)
        throw std::runtime_error(fmt::format("no chunk at {}", logical));
    std::vector<std::uint64_t> found;
    for (std::uint32_t copy = 0; copy < chunk->copies; ++copy)
        found.push_back(chunk->physical[copy] + (logical - chunk->logical));
    return found;
}

std::uint64_t MadeFilesystem::root_of(std::uint64_t tree_id) const {
    Layout layout(path_);
    if (tree_id == tree::root)
        return layout.super.root.logical;
    if (tree_id == tree::chunk)
        return layout.super.chunk_root.logical;
    return TreeReader(layout.device, layout.super, layout.chunks).tree(tree_id)->logical;
}

void MadeFilesystem::change_node(std::uint64_t logical, const Change& change, unsigned copies) {
    const std::vector<std::uint64_t> where = places(logical);
    dt::FileDevice device(path_, Access::write);
    const Superblock super = *read_superblock(device, superblock_places[0]);
    std::vector<std::byte> node(super.node_size);
    for (std::size_t i = 0; i < where.size() && i < copies; ++i) {
        device.read(where[i], node);
        change(node);
        set_checksum(super.checksum_type, node);
        device.write(where[i], node);
    }
}

std::string MadeFilesystem::dump_tree(const std::string& tree_name) const {
    return dt::run_tool({"btrfs", "inspect-internal", "dump-tree", "-t", tree_name, path_});
}

std::string little_endian(std::uint64_t value, std::size_t bytes) {
    std::string text;
    for (std::size_t i = 0; i < bytes; ++i)
        text += static_cast<char>(value >> (8 * i));
    return text;
}

Mounted::Mounted(const std::string& image, const std::string& point, const std::string& options)
    : point_(point) {
    std::filesystem::create_directories(point_);
    dt::run_tool({"mount", "-t", "btrfs", "-o", "loop," + options, image, point_});
}

Mounted::~Mounted() {
    dt::exit_status_of({"umount", point_});
}

bool check_clean(const std::string& image) {
    return dt::exit_status_of({"btrfs", "check", image}) == 0;
}

std::string digest_of_files(const MadeFilesystem& made, const std::string& image) {
    const Mounted mounted(image, made.beside("digest"), "ro");
    return dt::run_tool({"sh", "-c",
                         "cd \"$0\" && find . -type f -size -16M -print0 | sort -z | xargs -0 -r sha256sum",
                         mounted.point()});
}

} // namespace disktool::btrfs::test
