// SPDX-License-Identifier: LGPL-2.1-or-later
#include "made_filesystem.h"

#include "checksum.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <ostream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <utility>
#include <vector>

namespace disktool::xfs::test {

namespace dt = disktool::test;

namespace {

std::vector<std::string> words(const std::string& text) {
    std::istringstream stream(text);
    return {std::istream_iterator<std::string>(stream), {}};
}

} // namespace

void PrintTo(const Recipe& recipe, std::ostream* out) {
    *out << recipe.name << " (" << recipe.mib << " MiB, " << recipe.options << ")";
}

Mounted::Mounted(const std::string& image, const std::string& point, const std::string& options)
    : point_(point) {
    std::filesystem::create_directories(point_);
    const std::string all = options.empty() ? "loop,nouuid" : "loop,nouuid," + options;
    dt::run_tool({"mount", "-t", "xfs", "-o", all, image, point_});
}

Mounted::~Mounted() {
    dt::exit_status_of({"umount", point_});
}

MadeFilesystem::MadeFilesystem(const Recipe& recipe, int files) : path_(folder_ / "disk.img"), files_(files) {
    std::ofstream(path_).close();
    truncate(recipe.mib * MiB);
    std::vector<std::string> command = {"mkfs.xfs", "-q", "-f"};
    // Without this mkfs.xfs refuses small ones, and small logs.
    if (recipe.mib < 1024)
        command.emplace_back("--unsupported");
    for (std::string& word : words(recipe.options))
        command.push_back(std::move(word));
    if (files != 0 && std::string(recipe.options).find("crc=0") != std::string::npos) {
        fill_without_kernel(std::move(command));
        return;
    }
    command.push_back(path_);
    dt::run_tool(std::move(command));
    if (files == 0)
        return;
    const Mounted mounted(path_, beside("mnt"));
    fill(mounted, files, 60000);
    if (superblock().features.has_reflink())
        for (int i = 1; i < files; i += 6)
            dt::run_tool({"cp", "--reflink=always", mounted / fmt::format("d{}/f{}", i % 4, i),
                          mounted / fmt::format("clone{}", i)});
}

void MadeFilesystem::fill_without_kernel(std::vector<std::string> mkfs) {
    std::mt19937 random(static_cast<unsigned>(files_));
    std::string list = "none\n0 0\nd--755 0 0\n";
    std::vector<std::string> wipe = {"xfs_db", "-x"};
    for (int i = 0; i < files_; ++i) {
        const std::string name = fmt::format("f{}", i);
        std::string content(1 + random() % 60000, '\0');
        for (char& byte : content)
            byte = static_cast<char>(random());
        dt::write_file(beside(name), content);
        list += fmt::format("{} ---644 0 0 {}\n", name, beside(name));
        if (i % 2 == 0)
            wipe.insert(wipe.end(), {"-c", "path /" + name, "-c", "write core.mode 0"});
    }
    dt::write_file(beside("list"), list + "$\n");
    mkfs.insert(mkfs.end(), {"-p", beside("list"), path_});
    dt::run_tool(std::move(mkfs));
    wipe.push_back(path_);
    dt::run_tool(std::move(wipe));
    dt::run_tool({"xfs_repair", "-f", path_});
}

ExtentSet MadeFilesystem::extents_of_files() const {
    const Superblock super = superblock();
    std::vector<std::string> commands;
    for (int i = 1; i < files_; i += 2)
        commands.insert(commands.end(), {fmt::format("path /f{}", i), "bmap -d"});
    // "data offset 0 startblock 46 (0/46) count 13 flag 0"
    std::vector<Range> ranges;
    std::istringstream lines(look(std::move(commands)));
    for (std::string line; std::getline(lines, line);) {
        std::uint32_t group = 0;
        std::uint64_t block = 0, count = 0;
        if (std::sscanf(line.c_str(), "data offset %*u startblock %*u (%" SCNu32 "/%" SCNu64 ") count %" SCNu64,
                        &group, &block, &count) == 3)
            ranges.push_back({super.offset(group, block), count * super.block_size});
    }
    return ExtentSet::from_unsorted(std::move(ranges));
}

std::string MadeFilesystem::copy(const std::string& name) const {
    std::string to = beside(name);
    dt::run_tool({"cp", "--sparse=always", path_, to});
    return to;
}

Superblock MadeFilesystem::superblock() const {
    dt::FileDevice device(path_);
    const auto super = Superblock::read(device);
    if (!super)
        throw std::runtime_error("no superblock on " + path_);
    return *super;
}

std::string MadeFilesystem::look(std::vector<std::string> commands) const {
    std::vector<std::string> argv = {"xfs_db", "-r"};
    for (std::string& command : commands)
        argv.insert(argv.end(), {"-c", std::move(command)});
    argv.push_back(path_);
    return dt::run_tool(std::move(argv));
}

std::uint64_t MadeFilesystem::number(const std::string& structure, const std::string& field) const {
    const std::string line = look({structure, "p " + field}); // "fdblocks = 1234"
    return std::stoull(line.substr(line.find('=') + 1));
}

void MadeFilesystem::patch(std::uint64_t offset, const std::string& bytes) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!file.flush())
        throw std::runtime_error("cannot patch " + path_);
}

void MadeFilesystem::seal(std::uint64_t offset, std::uint64_t length, std::uint64_t field) {
    std::vector<std::byte> bytes(length);
    dt::FileDevice(path_).read(offset, bytes);
    const std::uint32_t sum = checksum(bytes, field);
    std::string little_endian;
    for (unsigned i = 0; i < 4; ++i)
        little_endian += static_cast<char>(sum >> (8 * i));
    patch(offset + field, little_endian);
}

std::string big_endian_bytes(std::uint64_t value, std::size_t bytes) {
    std::string text;
    for (std::size_t i = bytes; i-- > 0;)
        text += static_cast<char>(value >> (8 * i));
    return text;
}

void fill(const Mounted& mounted, int files, std::size_t largest) {
    std::mt19937 random(static_cast<unsigned>(files));
    std::string content(largest, '\0');
    for (char& byte : content)
        byte = static_cast<char>(random());
    const auto name = [&](int i) { return mounted / fmt::format("d{}/f{}", i % 4, i); };
    for (int i = 0; i < 4; ++i)
        std::filesystem::create_directories(mounted / fmt::format("d{}", i));
    for (int i = 0; i < files; ++i) {
        content[0] = static_cast<char>(i);
        dt::write_file(name(i), content.substr(0, 1 + random() % largest));
    }
    // On disk before half of them go, or they would never have had any blocks.
    dt::run_tool({"sync", "-f", mounted.point()});
    for (int i = 0; i < files; i += 2)
        std::filesystem::remove(name(i));
}

std::string sums_of_files(const std::string& image, const std::string& mount_point) {
    const Mounted mounted(image, mount_point, "ro");
    return dt::run_tool({"sh", "-c", "cd \"$1\" && find . -type f -print0 | sort -z | xargs -0 -r sha256sum",
                         "sh", mount_point});
}

void overwrite(const std::string& image, const ExtentSet& extents, std::uint64_t whole) {
    dt::FileDevice device(image, Access::write);
    const std::vector<std::byte> pattern(MiB, std::byte{0xaa});
    const auto write = [&](Range range) {
        for (std::uint64_t at = range.offset; at < range.end(); at += MiB)
            device.write(at, std::span(pattern).first(std::min<std::uint64_t>(MiB, range.end() - at)));
    };
    for (const Range range : extents) {
        if (range.length <= whole) {
            write(range);
            continue;
        }
        for (std::uint64_t at = range.offset; at + 64 * KiB <= range.end(); at += 1 * GiB)
            write({at, 64 * KiB});
        write({range.end() - 64 * KiB, 64 * KiB});
    }
}

bool repair_clean(const std::string& image) {
    return dt::exit_status_of({"xfs_repair", "-n", "-f", "-o", "force_geometry", image}) == 0;
}

} // namespace disktool::xfs::test
