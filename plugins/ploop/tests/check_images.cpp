// SPDX-License-Identifier: LGPL-2.1-or-later
#include "check_images.h"

#include "support/temporary_folder.h"

#include <cstring>
#include <filesystem>
#include <memory>
#include <set>
#include <stdexcept>

namespace fs = std::filesystem;

namespace disktool::ploop::test {

namespace {

constexpr std::uint64_t cluster_size = 32768;

std::uint32_t number(const std::string& bytes, std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        value |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes.at(at + i))) << (8 * i);
    }
    return value;
}

std::string without_folder(std::string text, const std::string& folder) {
    for (std::size_t at = text.find(folder); at != std::string::npos; at = text.find(folder, at)) {
        text.replace(at, folder.size(), "DIR");
    }
    return text;
}

CheckWriter writer_to(CheckRun& run, const std::string& folder) {
    return {[&run, folder](const std::string& line) { run.out += without_folder(line, folder) + '\n'; },
            [&run, folder](const std::string& line) { run.err += without_folder(line, folder) + '\n'; }};
}

} // namespace

SmallImage::SmallImage(Version version) : header(new_header(320 * 64, 64, version)) {
    header.flags = 0;
    entries = {{0, entry(2)}, {3, entry(1)}, {7, entry(4)}, {8, entry(5)}, {319, entry(3)}};
}

std::uint32_t SmallImage::entry(std::uint64_t cluster) const {
    return static_cast<std::uint32_t>(header.version == Version::v1 ? cluster * header.cluster_sectors
                                                                    : cluster);
}

std::byte filling(std::uint64_t cluster) {
    return static_cast<std::byte>(0xa0 + cluster);
}

void SmallImage::write(const std::string& path) const {
    const std::uint64_t size = header.cluster_size();
    std::string bytes(clusters * size, '\0');
    for (std::uint64_t cluster = header.data_start(); cluster < clusters; ++cluster) {
        std::memset(bytes.data() + cluster * size, static_cast<int>(filling(cluster)), size);
    }
    std::memcpy(bytes.data(), header_bytes(header).data(), header_size);
    for (const auto& [slot, value] : entries) {
        std::memcpy(bytes.data() + header_size + slot * 4, &value, 4);
    }
    bytes.append(reinterpret_cast<const char*>(behind.data()), behind.size());
    disktool::test::write_file(path, bytes);
}

SeenImage look_at(const std::string& path) {
    const std::string bytes = disktool::test::read_file(path);
    SeenImage seen;
    seen.bytes = bytes.size();
    seen.in_use = number(bytes, 44);
    seen.entries = number(bytes, 32);
    seen.flags = number(bytes, 52);
    seen.extension_sector = number(bytes, 56);
    const bool v1 = bytes.substr(0, 16) == "WithoutFreeSpace";
    const std::uint64_t start = std::uint64_t{number(bytes, 48)} * 512;
    std::set<std::uint64_t> used;
    for (std::uint64_t slot = 0; 64 + slot * 4 < start; ++slot) {
        const std::uint64_t entry = number(bytes, 64 + slot * 4);
        if (entry == 0) {
            continue;
        }
        seen.table[slot] = static_cast<std::uint32_t>(entry);
        const std::uint64_t offset = entry * (v1 ? 512 : cluster_size);
        if (offset < start || offset % cluster_size != 0 || offset + cluster_size > bytes.size()) {
            seen.faults[slot] = "not a cluster";
            continue;
        }
        if (!used.insert(offset).second) {
            seen.faults[slot] = "used twice";
        }
        const auto first = static_cast<unsigned char>(bytes[offset]);
        const auto last = static_cast<unsigned char>(bytes[offset + cluster_size - 1]);
        seen.content[slot] = first == last ? first : 0x100;
    }
    return seen;
}

CheckOptions check_options(const std::string& letters) {
    CheckOptions options;
    for (const char letter : letters) {
        switch (letter) {
        case 'f':
            options.force = true;
            break;
        case 'F':
            options.hard = true;
            break;
        case 'c':
            options.thorough = true;
            break;
        case 'r':
            options.read_only = true;
            break;
        case 's':
            options.silent = true;
            break;
        case 'd':
            options.drop_in_use = true;
            break;
        case 'R':
            options.raw = true;
            break;
        case 'b':
            options.raw_cluster_sectors = 64;
            break;
        case 'S':
            options.fill_sparse = true;
            break;
        default:
            throw std::logic_error("no such option of check");
        }
    }
    return options;
}

CheckRun run_check(const std::string& path, const std::string& letters, FileDoor& door) {
    CheckRun run;
    const auto file = door.open(path, {});
    run.result = check_image(*file, check_options(letters), writer_to(run, fs::path(path).parent_path()),
                             [&] { return door.open(path, {.write = true}); });
    return run;
}

CheckRun run_check_stack(const std::vector<StackFile>& base_to_top, std::uint32_t cluster_sectors,
                         FileDoor& door) {
    CheckRun run;
    std::vector<std::unique_ptr<File>> files;
    std::vector<CheckedImage> images;
    for (const StackFile& file : base_to_top) {
        files.push_back(door.open(file.path, {}));
        images.push_back({files.back().get(), file.raw,
                          [&door, path = file.path] { return door.open(path, {.write = true}); }});
    }
    const std::string folder = fs::path(base_to_top.at(0).path).parent_path();
    run.result = check_stack(images, cluster_sectors, writer_to(run, folder));
    return run;
}

} // namespace disktool::ploop::test
