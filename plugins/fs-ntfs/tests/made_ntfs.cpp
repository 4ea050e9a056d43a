// SPDX-License-Identifier: GPL-2.0-or-later
#include "made_ntfs.h"

#include <disktool/doors.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/xattr.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

namespace disktool::ntfs::test {

namespace dt = disktool::test;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> words(const std::string& text) {
    std::istringstream stream(text);
    return {std::istream_iterator<std::string>(stream), {}};
}

bool mounted(const fs::path& path) {
    std::ifstream mounts("/proc/self/mounts");
    for (std::string line; std::getline(mounts, line);)
        if (line.find(" " + path.string() + " ") != std::string::npos)
            return true;
    return false;
}

void fill_mixed(const fs::path& root) {
    for (unsigned i = 0; i < 120; ++i) {
        const fs::path folder = root / fmt::format("d{}", i % 4);
        fs::create_directories(folder);
        write_random(folder / fmt::format("f{}", i), i * 997 % 300000, i);
    }
    for (unsigned i = 0; i < 120; i += 2)
        fs::remove(root / fmt::format("d{}", i % 4) / fmt::format("f{}", i));
}

/// Takes all space in pieces of 64 KiB, frees every second one, and puts files into the holes.
void fill_fragmented(const fs::path& root) {
    const std::string piece(64 << 10, 'p');
    unsigned count = 0;
    const std::uintmax_t goal = fs::space(root).free / 3;
    for (; count * piece.size() < goal; ++count)
        dt::write_file(root / fmt::format("p{}", count), piece);
    write_random(root / "far-behind", 4 << 20, 7);
    for (unsigned i = 0; i < count; i += 2)
        fs::remove(root / fmt::format("p{}", i));
    for (unsigned i = 0; i < 4; ++i)
        write_random(root / fmt::format("in-pieces-{}", i), 3 << 20, i);
}

void fill_special(const fs::path& root) {
    const fs::path folder = root / "compressed";
    fs::create_directory(folder);
    const unsigned char compressed[] = {0, 0, 8, 0};
    if (::setxattr(folder.c_str(), "system.ntfs_attrib_be", compressed, sizeof compressed, 0) != 0)
        throw std::runtime_error("cannot make a compressed folder");
    std::string text;
    for (unsigned i = 0; i < 60000; ++i)
        text += fmt::format("line {} of a text that can be compressed\n", i % 777);
    for (unsigned i = 0; i < 5; ++i)
        dt::write_file(folder / fmt::format("text{}", i), text);
    for (unsigned i = 0; i < 5; ++i) {
        const fs::path sparse = root / fmt::format("sparse{}", i);
        std::ofstream file(sparse, std::ios::binary);
        for (unsigned piece = 0; piece < 20; ++piece) {
            file.seekp(static_cast<std::streamoff>(piece * 1000003ull * (i + 1)));
            file << "something at " << piece;
        }
    }
    for (unsigned i = 0; i < 5; ++i) {
        dt::write_file(root / fmt::format("streams{}", i), "main");
        write_random(root / fmt::format("streams{}:stream", i), 100000 + i, i);
    }
}

void fill_many(const fs::path& root) {
    for (unsigned i = 0; i < 2500; ++i)
        dt::write_file(root / fmt::format("a-file-with-quite-a-long-name-{:05}", i),
                       fmt::format("content {}", i));
    for (unsigned i = 0; i < 2500; i += 3)
        fs::remove(root / fmt::format("a-file-with-quite-a-long-name-{:05}", i));
}

void fill_nearly_full(const fs::path& root) {
    for (unsigned i = 0; fs::space(root).free > 24 * MiB; ++i)
        write_random(root / fmt::format("f{}", i), std::min<std::uint64_t>(16 * MiB, fs::space(root).free / 2),
                     i);
}

} // namespace

void PrintTo(const Recipe& recipe, std::ostream* out) {
    *out << recipe.name << " (" << recipe.size << " bytes, " << recipe.options << ")";
}

Mount::Mount(const std::string& image, const std::string& options) {
    Command command;
    // Does not fork, so that its end can be waited for: umount(2) comes back before all is written.
    command.arguments = {"ntfs-3g", "-o", "no_detach,streams_interface=windows,compression," + options, image,
                         folder_.path().string()};
    server_ = real_doors().processes.start(command);
    for (int i = 0; !mounted(folder_.path()); ++i) {
        if (i == 2000 || !server_->running())
            throw std::runtime_error("ntfs-3g does not mount " + image);
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

Mount::~Mount() {
    if (::umount(folder_.path().c_str()) != 0)
        ::umount2(folder_.path().c_str(), MNT_DETACH);
    server_->wait(std::chrono::seconds(60));
}

MadeNtfs::MadeNtfs(const Recipe& recipe) : path_(folder_ / "disk.img") {
    std::ofstream(path_).close();
    fs::resize_file(path_, recipe.size);
    std::vector<std::string> command = {"mkntfs", "-Q", "-F", "-q"};
    for (std::string& word : words(recipe.options))
        command.push_back(std::move(word));
    command.push_back(path_);
    dt::run_tool(std::move(command));
}

std::string MadeNtfs::copy(const std::string& name) const {
    std::string to = beside(name);
    dt::run_tool({"cp", "--sparse=always", path_, to});
    return to;
}

void MadeNtfs::patch(std::uint64_t offset, std::string_view bytes) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!file.flush())
        throw std::runtime_error("cannot patch " + path_);
}

void MadeNtfs::patch_record(std::uint64_t number, std::size_t offset, std::string_view bytes) {
    const OpenedVolume opened(path_);
    const std::uint64_t at = number * opened.volume.boot().record_size();
    const std::uint64_t cluster = opened.volume.boot().cluster_size();
    for (const Run& run : opened.volume.mft().runs)
        if (at / cluster >= run.vcn && at / cluster < run.vcn + run.length) {
            patch((run.lcn - run.vcn) * cluster + at + offset, bytes);
            return;
        }
    throw std::runtime_error("no such record");
}

std::string MadeNtfs::read(std::uint64_t offset, std::size_t count) const {
    std::string bytes(count, '\0');
    dt::FileDevice(path_).read(offset, std::as_writable_bytes(std::span(bytes)));
    return bytes;
}

const std::vector<Pattern>& patterns() {
    static const std::vector<Pattern> all = {
        {"mixed", fill_mixed}, {"fragmented", fill_fragmented},   {"special", fill_special},
        {"many", fill_many},   {"nearly_full", fill_nearly_full},
    };
    return all;
}

void fill(const std::string& image, const Pattern& pattern) {
    const Mount mount(image, pattern.mount);
    pattern.fill(mount.path());
}

void write_random(const fs::path& path, std::uint64_t size, unsigned seed) {
    std::mt19937_64 random(seed);
    std::string content(round_up(size, 8), '\0');
    for (std::size_t at = 0; at < content.size(); at += 8) {
        const std::uint64_t number = random();
        std::memcpy(&content[at], &number, 8);
    }
    content.resize(size);
    dt::write_file(path, content);
}

std::string contents_of(const std::string& image) {
    const Mount mount(image, "ro");
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(mount.path()))
        if (entry.is_regular_file()) {
            const std::string name = entry.path().string();
            files[fs::relative(entry.path(), mount.path())] = name;
            if (name.find("streams") != std::string::npos)
                files[fs::relative(entry.path(), mount.path()).string() + ":stream"] = name + ":stream";
        }
    std::string result;
    std::vector<std::string> command = {"sha256sum"};
    for (const auto& [name, path] : files)
        command.push_back(path);
    if (command.size() == 1)
        return result;
    std::istringstream lines(dt::run_tool(std::move(command)));
    for (const auto& [name, path] : files) {
        std::string line;
        std::getline(lines, line);
        result += name + " " + line.substr(0, 65) + "\n";
    }
    return result;
}

void expect_sound(const std::string& path) {
    const CommandResult resize = dt::result_of({"ntfsresize", "-i", "-f", "-P", path});
    EXPECT_TRUE(resize.ok()) << resize.output << resize.errors;
    const CommandResult fix = dt::result_of({"ntfsfix", "-n", path});
    EXPECT_TRUE(fix.ok()) << fix.output << fix.errors;
}

std::string little_endian(std::uint64_t value, std::size_t bytes) {
    std::string text;
    for (std::size_t i = 0; i < bytes; ++i)
        text += static_cast<char>(value >> (8 * i));
    return text;
}

} // namespace disktool::ntfs::test
