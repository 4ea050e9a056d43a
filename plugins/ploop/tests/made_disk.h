// SPDX-License-Identifier: LGPL-2.1-or-later
// Small disks with known contents, and what is to be read of them.
#pragma once

#include "check.h"
#include "operations.h"
#include "support/hasty_door.h"
#include "support/recording_door.h"
#include "support/temporary_folder.h"

#include <disktool/bytes.h>
#include <disktool/error.h>

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace disktool::ploop::operations_test {

using disktool::test::TemporaryFolder;

constexpr std::uint32_t small_cluster = 64; ///< sectors
constexpr std::uint64_t cluster_bytes = small_cluster * sector_size;

inline Uuid uuid_of(char digit) {
    std::string text = "{88888888-4444-4444-4444-cccccccccccc}";
    for (char& c : text) {
        c = c == '8' || c == '4' || c == 'c' ? digit : c;
    }
    return *Uuid::parse(text);
}

/// One delta of a chain: which guest clusters it holds, each full of `letter` followed by its number.
struct MadeDelta {
    std::vector<std::uint64_t> clusters;
    char letter = 'a';
    std::uint64_t disk_clusters = 16;
    Version version = Version::v2;
    bool raw = false;
    std::uint32_t cluster_sectors = small_cluster;
};

inline std::string cluster_of(char letter, std::uint64_t number, std::uint64_t size = cluster_bytes) {
    const std::string unit = std::string(1, letter) + std::to_string(number) + ".";
    std::string text;
    while (text.size() < size) {
        text += unit;
    }
    return text.substr(0, size);
}

inline std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}

inline void make_delta(const std::string& path, const MadeDelta& made) {
    FileDoor& files = disktool::test::hasty_doors().files;
    if (made.raw) {
        std::string content(made.disk_clusters * made.cluster_sectors * sector_size, '\0');
        for (const std::uint64_t number : made.clusters) {
            const std::uint64_t size = made.cluster_sectors * sector_size;
            content.replace(number * size, size, cluster_of(made.letter, number, size));
        }
        disktool::test::write_file(path, content);
        return;
    }
    {
        const auto file = files.open(path, {.write = true, .create = true, .exclusive = true});
        Delta::create(*file, {.disk_sectors = made.disk_clusters * made.cluster_sectors,
                              .cluster_sectors = made.cluster_sectors,
                              .version = made.version,
                              .preallocated = false});
    }
    const auto delta = Delta::open(files.open(path, {.write = true}), Access::write);
    delta->begin();
    for (const std::uint64_t number : made.clusters) {
        delta->allocate(number, bytes_of(cluster_of(made.letter, number, delta->cluster_size())));
    }
    delta->end();
}

/// A chain root.hds, root.hds.1, ... under the uuids 1, 2, ..., the last one being the top. Returns the
/// descriptor's path.
inline std::string make_chain(const std::filesystem::path& folder, const std::vector<MadeDelta>& deltas) {
    const std::string base = (folder / "root.hds").string();
    Descriptor descriptor =
        Descriptor::make(deltas.back().disk_clusters * small_cluster, small_cluster,
                         deltas.front().raw ? DiskMode::raw : DiskMode::expanded, "root.hds");
    for (std::size_t i = 0; i < deltas.size(); ++i) {
        const std::string name = i == 0 ? "root.hds" : "root.hds." + std::to_string(i);
        make_delta((folder / name).string(), deltas[i]);
        if (i > 0) {
            descriptor.add_snapshot(uuid_of(static_cast<char>('0' + i)), name);
        }
    }
    const std::string path = (folder / "DiskDescriptor.xml").string();
    descriptor.store(disktool::test::hasty_doors().files, path);
    return path;
}

/// '.' for a cluster of zeros, else the letter of the delta that it is of; '?' for anything else.
inline char letter_of(std::string_view cluster, std::uint64_t number) {
    if (all_zero(std::as_bytes(std::span(cluster)))) {
        return '.';
    }
    return cluster == cluster_of(cluster[0], number) ? cluster[0] : '?';
}

/// A guest's disk in a line that can be read.
inline std::string letters_of(const std::string& content) {
    std::string letters;
    for (std::size_t i = 0; i * cluster_bytes < content.size(); ++i) {
        letters += letter_of(std::string_view(content).substr(i * cluster_bytes, cluster_bytes), i);
    }
    return letters;
}

/// As a VM would see it that starts now, before any recovery.
inline std::string letters_at(const std::string& descriptor_path, const Uuid& uuid) {
    FileDoor& files = real_doors().files;
    const Descriptor descriptor = Descriptor::load(files, descriptor_path);
    std::vector<std::unique_ptr<Delta>> deltas;
    for (const Uuid& member : descriptor.chain(uuid)) {
        const ImageEntry& entry = *descriptor.image(member);
        auto file = files.open(resolve(files, descriptor_path, entry, {}), {});
        deltas.push_back(entry.raw ? Delta::open_raw(std::move(file), Access::read, descriptor.cluster_sectors)
                                   : Delta::open(std::move(file), Access::read, true));
    }
    ChainDevice device(std::move(deltas), descriptor_path);
    std::string letters;
    std::string cluster(cluster_bytes, '\0');
    for (std::uint64_t i = 0; i * cluster_bytes < device.size(); ++i) {
        if (!device.holder(i)) {
            letters += '.'; // a large disk of which little is used
            continue;
        }
        device.read(i * cluster_bytes, std::as_writable_bytes(std::span(cluster)));
        letters += letter_of(cluster, i);
    }
    return letters;
}

using Contents = std::map<std::string, std::string>; ///< letters by uuid

inline Contents contents_of(const std::string& descriptor_path) {
    Contents contents;
    for (const SnapshotEntry& entry : Descriptor::load(real_doors().files, descriptor_path).snapshots) {
        contents[entry.uuid.lower()] = letters_at(descriptor_path, entry.uuid);
    }
    return contents;
}

inline std::set<std::string> names_in(const std::filesystem::path& folder) {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        names.insert(entry.path().filename().string());
    }
    return names;
}

/// The descriptor, its lock file and its images, and nothing else; all images closed (the top only unless it
/// may be in use) and without a fault.
inline void expect_tidy(const std::string& descriptor_path, bool top_in_use = false) {
    const auto folder = std::filesystem::path(descriptor_path).parent_path();
    const Descriptor descriptor = Descriptor::load(real_doors().files, descriptor_path);
    std::set<std::string> expected = {"DiskDescriptor.xml", "DiskDescriptor.xml.lck"};
    for (const ImageEntry& entry : descriptor.images) {
        expected.insert(entry.file);
        const auto open = [&](bool write) {
            return real_doors().files.open((folder / entry.file).string(), {.write = write});
        };
        const auto file = open(false);
        std::string said;
        const auto hear = [&](const std::string& line) { said += line + "\n"; };
        CheckOptions options;
        options.force = options.thorough = options.read_only = true;
        options.raw = entry.raw;
        options.raw_cluster_sectors = descriptor.cluster_sectors;
        const CheckResult result = check_image(*file, options, {hear, hear}, [&] { return open(true); });
        EXPECT_FALSE(result.was_dirty && !(top_in_use && entry.uuid == descriptor.top)) << entry.file;
        EXPECT_FALSE(result.wrong_empty_flag) << entry.file;
        EXPECT_EQ(result.out_of_range + result.misaligned + result.behind_eof + result.duplicates, 0u) << said;
    }
    EXPECT_EQ(names_in(folder), expected);
    EXPECT_EQ(descriptor.disk_sectors, letters_at(descriptor_path, descriptor.top).size() * small_cluster);
}

struct Opened {
    std::unique_ptr<PloopDisk> disk;
    std::shared_ptr<std::vector<std::string>> lines = std::make_shared<std::vector<std::string>>();
};

inline Opened open_disk(const std::string& descriptor_path, Doors doors = disktool::test::hasty_doors()) {
    Opened opened;
    DiskOptions options;
    options.wait = std::chrono::seconds(0);
    options.say = [lines = opened.lines](const std::string& line) { lines->push_back(line); };
    opened.disk = PloopDisk::open(doors, descriptor_path, options);
    return opened;
}

inline RunReport run(Plan plan, Doors doors = disktool::test::hasty_doors(), CancelToken* cancel = nullptr) {
    return run_plan(plan, doors, cancel, {});
}

/// The exit code of what it throws; 0: nothing.
template <typename Action>
int exit_of(Action action, std::string* sentence = nullptr) {
    try {
        action();
        return 0;
    } catch (const Error& error) {
        if (sentence != nullptr) {
            *sentence = error.what();
        }
        return exit_code_of(error);
    }
}

} // namespace disktool::ploop::operations_test
