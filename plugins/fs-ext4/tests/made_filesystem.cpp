// SPDX-License-Identifier: LGPL-2.1-or-later
#include "made_filesystem.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <ostream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <utility>
#include <vector>

namespace disktool::ext4::test {

namespace dt = disktool::test;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> words(const std::string& text) {
    std::istringstream stream(text);
    return {std::istream_iterator<std::string>(stream), {}};
}

} // namespace

void PrintTo(const Recipe& recipe, std::ostream* out) {
    *out << recipe.name << " (" << recipe.kib << " KiB, " << recipe.options << ")";
}

MadeFilesystem::MadeFilesystem(const Recipe& recipe, int files) : path_(folder_ / "disk.img") {
    std::ofstream(path_).close();
    truncate(recipe.kib * 1024);
    std::vector<std::string> command = {"mke2fs", "-q", "-F"};
    for (std::string& word : words(recipe.options))
        command.push_back(std::move(word));
    if (files == 0) {
        command.push_back(path_);
        dt::run_tool(std::move(command));
        return;
    }
    const std::string deletions = make_files(files);
    command.insert(command.end(), {"-d", beside("source"), path_});
    dt::run_tool(std::move(command));
    dt::run_tool({"debugfs", "-w", "-f", deletions, path_});
}

/// Puts them below "source". Gives the name of a file of debugfs commands that delete half of them.
std::string MadeFilesystem::make_files(int count) const {
    const fs::path source = folder_ / "source";
    std::mt19937 random(static_cast<unsigned>(count));
    std::string deletions;
    for (int i = 0; i < count; ++i) {
        const std::string name = fmt::format("d{}/f{}", i % 4, i);
        fs::create_directories((source / name).parent_path());
        std::string content(random() % 60000, '\0');
        for (char& byte : content)
            byte = static_cast<char>(random());
        dt::write_file(source / name, content);
        if (i % 2 == 0)
            deletions += "rm /" + name + "\n";
    }
    std::string commands = beside("deletions");
    dt::write_file(commands, deletions);
    return commands;
}

std::string MadeFilesystem::copy(const std::string& name) const {
    std::string to = beside(name);
    dt::run_tool({"cp", "--sparse=always", path_, to});
    return to;
}

void MadeFilesystem::debugfs(const std::string& command) {
    dt::run_tool({"debugfs", "-w", "-R", command, path_});
}

void MadeFilesystem::patch(std::uint64_t offset, const std::string& bytes) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!file.flush())
        throw std::runtime_error("cannot patch " + path_);
}

std::string MadeFilesystem::header(const std::string& key) const {
    std::istringstream lines(dt::run_tool({"dumpe2fs", "-h", path_}));
    for (std::string line; std::getline(lines, line);)
        if (line.starts_with(key + ":"))
            return line.substr(line.find_first_not_of(' ', key.size() + 1));
    throw std::runtime_error("dumpe2fs -h says nothing of " + key);
}

bool fsck_clean(const std::string& path) {
    return dt::exit_status_of({"e2fsck", "-fn", path}) == 0;
}

} // namespace disktool::ext4::test
