// SPDX-License-Identifier: LGPL-2.1-or-later
// Broken, foreign and hostile file systems: refused by a sentence, never by a crash.
#include "made_filesystem.h"
#include "support/memory_device.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

namespace disktool::btrfs::test {

namespace dt = disktool::test;

namespace {

void expect_error(const std::function<void()>& action, ErrorCode code, Reason reason,
                  const std::string& words) {
    try {
        action();
        ADD_FAILURE() << "no error; expected: " << words;
    } catch (const Error& error) {
        EXPECT_EQ(name(error.code()), name(code)) << error.what();
        EXPECT_EQ(name(error.reason()), name(reason)) << error.what();
        EXPECT_NE(std::string(error.what()).find(words), std::string::npos)
            << error.what() << "\nshould say: " << words;
    }
}

void expect_damaged(const MadeFilesystem& made, const std::string& words) {
    expect_error([&] { Opened(made.path())->free_extents(); }, ErrorCode::damaged, Reason::filesystem_damaged,
                 words);
}

void expect_unsupported(const MadeFilesystem& made, const std::string& words) {
    expect_error([&] { Opened opened(made.path()); }, ErrorCode::unsupported, Reason::feature_not_supported,
                 words);
}

void put(std::span<std::byte> node, std::size_t offset, const std::string& bytes) {
    std::ranges::copy(std::as_bytes(std::span(bytes)), node.begin() + static_cast<std::ptrdiff_t>(offset));
}

/// Where the data of the first item of this type lie in a leaf, and where its header.
struct Place {
    std::size_t header;
    std::size_t data;
};
Place find_item(std::span<const std::byte> node, std::uint8_t type, unsigned skip = 0) {
    for (std::uint32_t i = 0; i < load<std::uint32_t>(node, 96); ++i) {
        const std::size_t header = node_header_size + i * item_header_size;
        if (load_key(node, header).type == type && skip-- == 0)
            return {header, node_header_size + load<std::uint32_t>(node, header + 17)};
    }
    throw std::runtime_error(fmt::format("no item of type {}", type));
}

const Recipe plain{"plain", 256};
const Recipe single{"single", 256, "-m single"};

} // namespace

TEST(Damage, SuperblockChecksum) {
    MadeFilesystem made(plain);
    made.patch(superblock_places[0] + 0x12b, "x"); // the label
    dt::FileDevice device(made.path());
    EXPECT_EQ(Plugin().probe(device), 60);
    expect_damaged(made, "superblock (at byte 65536) has a bad checksum, but a mirror of it is good");
    made.patch(superblock_places[1] + 0x12b, "x");
    expect_damaged(made, "superblock (at byte 65536) has a bad checksum; look");
}

TEST(Damage, UnknownKindOfChecksum) {
    MadeFilesystem made(plain);
    made.patch(superblock_places[0] + 0xc4, "\x09");
    dt::FileDevice device(made.path());
    EXPECT_EQ(Plugin().probe(device), 80);
    expect_unsupported(made, "a kind of checksum that disktool does not know (type 9)");
}

TEST(Damage, FeaturesAreNamed) {
    for (const auto& [field, bit, word] :
         {std::tuple{0xbc, 12, "zoned"}, std::tuple{0xbc, 13, "extent-tree-v2"},
          std::tuple{0xbc, 14, "raid-stripe-tree"}, std::tuple{0xbc, 15, "I15"}, std::tuple{0xbc, 40, "I40"},
          std::tuple{0xb4, 4, "R4"}, std::tuple{0xac, 0, "C0"}}) {
        MadeFilesystem made(plain);
        dt::FileDevice device(made.path());
        std::byte raw[8];
        device.read(superblock_places[0] + static_cast<std::uint64_t>(field), raw);
        made.patch_superblock(static_cast<std::uint64_t>(field),
                              little_endian(load<std::uint64_t>(raw, 0) | 1ull << bit, 8));
        expect_unsupported(made, fmt::format("does not handle: {};", word));
    }
}

TEST(Damage, SuperblockThatMakesNoSense) {
    for (const auto& [offset, value, width, words] :
         {std::tuple{0x90, 512ull, 4, "sector size is 512"},
          std::tuple{0x90, 12288ull, 4, "sector size is 12288"},
          std::tuple{0x94, 2048ull, 4, "node size is 2048"},
          std::tuple{0x94, 131072ull, 4, "node size is 131072"}, std::tuple{0xc6, 8ull, 1, "8 and 0 levels"},
          std::tuple{0x50, 12345ull, 8, "start at 12345"}, std::tuple{0xa4, 999ull, 8, "generation 999"},
          std::tuple{0x70, ~0ull, 8, "its size is"},
          std::tuple{0x70, 1048576ull, 8, "but on this device 268435456"},
          std::tuple{0x88, 0ull, 8, "counts 0 devices"}, std::tuple{0xa0, 2049ull, 4, "impossible length"},
          std::tuple{0xa0, 4096000ull, 4, "impossible length"},
          std::tuple{0x38, 1ull << 50, 8, "unknown flags"},
          std::tuple{0xc9 + 82, 1ull, 8, "another file system"},
          std::tuple{0x30, 4096ull, 8, "says that it belongs at 4096"},
          std::tuple{0xa0, 120ull, 4, "array of system chunks"}}) {
        MadeFilesystem made(plain);
        made.patch_superblock(static_cast<std::uint64_t>(offset),
                              little_endian(value, static_cast<std::size_t>(width)));
        expect_damaged(made, words);
    }
}

TEST(Damage, LargerThanTheDevice) {
    MadeFilesystem made(plain);
    made.truncate(made.size() - 4096);
    expect_damaged(made, "superblock says 256 MiB (268435456 bytes), but the device has only");
}

// DUP: the other copy is read; both gone: told with the place.
TEST(Damage, ABadCopyIsPassedBy) {
    for (const std::uint64_t id : {tree::chunk, tree::root, tree::extent, tree::device, tree::free_space}) {
        MadeFilesystem made(plain);
        const ExtentSet free = Opened(made.path())->free_extents();
        const std::uint64_t logical = made.root_of(id);
        const std::vector<std::uint64_t> places = made.places(logical);
        ASSERT_EQ(places.size(), 2u);
        made.patch(places[0] + 1000, "bad");
        EXPECT_EQ(Opened(made.path())->free_extents(), free);
        // A copy with a right checksum, but an old one: a write that was lost.
        made.change_node(
            logical, [](std::span<std::byte> node) { node[80] ^= std::byte{7}; }, 1);
        EXPECT_EQ(Opened(made.path())->free_extents(), free);
        made.patch(places[1] + 1000, "bad");
        expect_damaged(made, fmt::format("the node at logical byte {} (byte {} of the device, tree {})",
                                         logical, places[0], id));
    }
}

TEST(Damage, NodesThatAreNotWhatTheyShould) {
    const std::vector<std::tuple<MadeFilesystem::Change, const char*>> changes = {
        {[](std::span<std::byte> node) { node[48] ^= std::byte{1}; }, "says that it belongs at"},
        {[](std::span<std::byte> node) { node[32] ^= std::byte{1}; }, "belongs to another file system"},
        {[](std::span<std::byte> node) { node[100] = std::byte{1}; }, "is of level 1"},
        {[](std::span<std::byte> node) { put(node, 80, little_endian(77, 8)); }, "is of generation 77"},
        {[](std::span<std::byte> node) { node[88] = std::byte{9}; }, "belongs to tree 9, not 2"},
        {[](std::span<std::byte> node) { put(node, 96, little_endian(~0u, 4)); }, "has 4294967295 entries"},
        {[](std::span<std::byte> node) { put(node, 101, little_endian(~0ull, 8)); }, "has keys out of order"},
        {[](std::span<std::byte> node) { put(node, 101 + 17, little_endian(~0u, 4)); },
         "has an item (entry 0)"},
        {[](std::span<std::byte> node) { put(node, 101 + 21, little_endian(9, 4)); }, "has an item (entry 0)"},
    };
    for (const auto& [change, words] : changes) {
        MadeFilesystem made(single);
        made.change_node(made.root_of(tree::extent), change);
        expect_damaged(made, words);
    }
}

TEST(Damage, BlockGroupsThatDoNotAgree) {
    MadeFilesystem used(single);
    used.change_node(used.root_of(tree::extent), [](std::span<std::byte> node) {
        put(node, find_item(node, item::block_group).data, little_endian(4096, 8));
    });
    expect_damaged(used, "bytes of it are free, but");
    MadeFilesystem too_much(single);
    too_much.change_node(too_much.root_of(tree::extent), [](std::span<std::byte> node) {
        put(node, find_item(node, item::block_group).data, little_endian(1ull << 40, 8));
    });
    expect_damaged(too_much, "uses more than it has");
    MadeFilesystem type(single);
    type.change_node(type.root_of(tree::extent), [](std::span<std::byte> node) {
        put(node, find_item(node, item::block_group).data + 16,
            little_endian(profile::metadata | profile::dup, 8));
    });
    expect_damaged(type, "is of another type");
    MadeFilesystem missing(single);
    missing.change_node(missing.root_of(tree::extent), [](std::span<std::byte> node) {
        node[find_item(node, item::block_group).header + 8] = std::byte{item::block_group + 1};
    });
    expect_damaged(missing, "has no block group");
}

TEST(Damage, ChunksThatDoNotAgree) {
    const auto chunk_change = [](std::size_t offset, const std::string& bytes, const std::string& words) {
        MadeFilesystem made(single);
        const std::uint64_t root = made.root_of(tree::chunk);
        made.change_node(root, [&](std::span<std::byte> node) {
            put(node, find_item(node, item::chunk, 1).data + offset, bytes);
        });
        expect_damaged(made, words);
    };
    chunk_change(0, little_endian(0, 8), "has 0 bytes");
    chunk_change(0, little_endian(~0ull, 8), "has 18446744073709551615 bytes");
    chunk_change(16, little_endian(4096, 8), "has stripes of 4096 bytes");
    chunk_change(24, little_endian(0, 8), "is of an impossible type");
    chunk_change(44, little_endian(2, 2), "has 2 stripes in");
    chunk_change(48 + 8, little_endian(~0ull - 4095, 8), "is said to lie at byte");
    chunk_change(48 + 8, little_endian(2 * MiB, 8), "");
    MadeFilesystem device(single);
    device.change_node(device.root_of(tree::chunk), [](std::span<std::byte> node) {
        put(node, find_item(node, item::device).data + 8, little_endian(255 * MiB, 8));
    });
    expect_damaged(device, "counts 267386880 bytes of this device");
    MadeFilesystem extent(single);
    extent.change_node(extent.root_of(tree::device), [](std::span<std::byte> node) {
        put(node, find_item(node, item::device_extent).data + 24, little_endian(65536, 8));
    });
    expect_damaged(extent, "is not that of the chunk");
}

TEST(Damage, AReplacementUnderWayIsRefused) {
    MadeFilesystem made(plain);
    { const Mounted writes_statistics(made); }
    const std::uint64_t root = made.root_of(tree::device);
    // The statistics of the device, which come first as well, turned into the state of a replacement.
    made.change_node(root, [&](std::span<std::byte> node) {
        const Place place = find_item(node, 249);
        put(node, place.header,
            little_endian(0, 8) + static_cast<char>(item::device_replace) + little_endian(0, 8));
        put(node, place.data + 32, little_endian(1, 8));
    });
    expect_error([&] { Opened opened(made.path()); }, ErrorCode::unsupported, Reason::several_devices,
                 "btrfs replace");
}

TEST(Damage, FreeSpaceTreeThatDoesNotAgree) {
    const auto change = [](const MadeFilesystem::Change& what, const std::string& words) {
        MadeFilesystem made(single);
        made.change_node(made.root_of(tree::free_space), what);
        expect_damaged(made, words);
    };
    const auto info = [](std::span<std::byte> node, unsigned skip) {
        return find_item(node, item::free_space_info, skip);
    };
    // The first ones are stale; a later one is of a block group that is there.
    change([&](std::span<std::byte> node) { put(node, info(node, 2).data, little_endian(77, 4)); },
           "the free-space tree counts 77 extents");
    change([&](std::span<std::byte> node) { put(node, info(node, 2).data + 4, little_endian(1, 4)); },
           "has a wrong entry");
    change(
        [&](std::span<std::byte> node) {
            put(node, find_item(node, item::free_space_extent, 2).header + 9, little_endian(~0ull, 8));
        },
        "");
    change([&](std::span<std::byte> node) { node[info(node, 2).header + 9] ^= std::byte{16}; }, "");
    change(
        [&](std::span<std::byte> node) {
            node[find_item(node, item::free_space_extent, 2).header + 8] = std::byte{item::free_space_bitmap};
        },
        "has a wrong entry");
}

TEST(Damage, ExtentTreeThatDoesNotAgree) {
    MadeFilesystem made({"extents", 256, "-m single -R ^free-space-tree"});
    made.change_node(made.root_of(tree::extent), [](std::span<std::byte> node) {
        const Place place = find_item(node, item::metadata);
        put(node, place.header, little_endian(load<std::uint64_t>(node, place.header) + 512, 8));
    });
    expect_damaged(made, "overlaps another one or lies in no block group");
}

// mkfs.btrfs here cannot make one, so the UUID tree is turned into it; the items in the extent tree are made
// wrong.
TEST(BlockGroupTree, IsReadInsteadOfTheExtentTree) {
    MadeFilesystem made({"groups", 256, "-m single -R ^free-space-tree"});
    const ExtentSet free = Opened(made.path())->free_extents();
    constexpr std::uint64_t uuid_tree = 9;
    const std::uint64_t leaf = made.root_of(uuid_tree);
    std::vector<std::pair<Key, std::string>> groups;
    made.change_node(made.root_of(tree::extent), [&](std::span<std::byte> node) {
        for (unsigned i = 0; i < 3; ++i) {
            const Place place = find_item(node, item::block_group, i);
            const auto data = node.subspan(place.data, 24);
            groups.emplace_back(load_key(node, place.header),
                                std::string(reinterpret_cast<const char*>(data.data()), data.size()));
            put(node, place.data, little_endian(0, 8));
        }
    });
    made.change_node(leaf, [&](std::span<std::byte> node) {
        put(node, 88, little_endian(tree::block_group, 8));
        put(node, 96, little_endian(groups.size(), 4));
        std::size_t end = node.size() - node_header_size;
        for (std::size_t i = 0; i < groups.size(); ++i) {
            end -= 24;
            const auto& [key, data] = groups[i];
            put(node, node_header_size + i * item_header_size,
                little_endian(key.objectid, 8) + static_cast<char>(key.type) + little_endian(key.offset, 8) +
                    little_endian(end, 4) + little_endian(24, 4));
            put(node, node_header_size + end, data);
        }
    });
    made.change_node(made.root_of(tree::root), [&](std::span<std::byte> node) {
        for (unsigned i = 0;; ++i)
            if (const Place place = find_item(node, item::root, i);
                load_key(node, place.header).objectid == uuid_tree) {
                put(node, place.header, little_endian(tree::block_group, 8));
                break;
            }
    });
    expect_damaged(made, "bytes of it are free, but"); // by the extent tree's
    made.patch_superblock(0xb4, little_endian(8, 8));
    EXPECT_EQ(Opened(made.path())->free_extents(), free);
    EXPECT_EQ(Opened(made.path())->usage().free, free.total());
}

// Each byte of the superblock and of the chunk tree's leaf in turn, checksums made right.
TEST(Hostile, AbsurdValuesAreRefusedOrHarmless) {
    MadeFilesystem made({"hostile", 128, "-m single -n 4k"});
    dt::FileDevice file(made.path());
    std::vector<std::byte> head(32 * MiB);
    file.read(0, head);
    dt::MemoryDevice device(file.size());
    for (const Extent& extent : file.extents({0, head.size()}))
        if (extent.kind == ExtentKind::data)
            device.write(extent.range.offset,
                         std::span(head).subspan(extent.range.offset, extent.range.length));
    const auto look = [&] {
        try {
            Plugin().probe(device);
            const std::unique_ptr<Filesystem> filesystem = Plugin().open(device);
            EXPECT_LE(filesystem->usage().free, filesystem->usage().size);
            filesystem->details();
            if (!filesystem->state().free_map_trusted)
                return true;
            filesystem->free_extents();
            EXPECT_LE(filesystem->minimum_size().bytes, device.size());
        } catch (const Error& error) {
            EXPECT_TRUE(error.code() == ErrorCode::damaged || error.code() == ErrorCode::unsupported)
                << error.what();
            return true;
        }
        return false;
    };
    const auto vary = [&](std::uint64_t place, std::size_t size, std::size_t used) {
        std::vector<std::byte> block(size);
        device.read(place, block);
        const std::vector<std::byte> original = block;
        int refused = 0;
        for (std::size_t i = checksum_field; i < used; ++i)
            for (const unsigned value : {0u, 1u, 0x7fu, 0x80u, 0xffu}) {
                block = original;
                block[i] = std::byte(value);
                set_checksum(ChecksumType::crc32c, block);
                device.write(place, block);
                refused += look();
            }
        device.write(place, original);
        return refused;
    };
    ASSERT_FALSE(look());
    EXPECT_GT(vary(superblock_places[0], superblock_size, 0x400), 500);
    for (const std::uint64_t id : {tree::chunk, tree::device, tree::extent, tree::free_space})
        EXPECT_GT(vary(made.places(made.root_of(id))[0], 4096, 300), 200) << id;
    EXPECT_FALSE(look());
}

TEST(Hostile, ReadErrorsPassThrough) {
    MadeFilesystem made({"errors", 128, "-m single -n 4k"});
    dt::FileDevice file(made.path());
    std::vector<std::byte> head(32 * MiB);
    file.read(0, head);
    for (const std::uint64_t place : {superblock_places[0], made.places(made.root_of(tree::chunk))[0]}) {
        dt::MemoryDevice device(file.size());
        device.write(0, head);
        device.fail_at(place);
        try {
            Plugin().open(device);
            ADD_FAILURE() << "opened in spite of an I/O error at " << place;
        } catch (const SystemError& error) {
            EXPECT_EQ(error.error_number(), EIO);
        }
    }
}

} // namespace disktool::btrfs::test
