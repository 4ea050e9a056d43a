// SPDX-License-Identifier: LGPL-2.1-or-later
// When the map on disk is not to be believed, or the file system is not on this device alone.
#include "made_filesystem.h"

#include <disktool/error.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <thread>

namespace disktool::btrfs::test {

namespace dt = disktool::test;

namespace {

void expect_untrusted(const std::string& path, Reason reason, bool appliance_can_help) {
    Opened opened(path);
    const FilesystemState state = opened->state();
    EXPECT_EQ(state.reason, reason) << state.sentence;
    EXPECT_FALSE(state.free_map_trusted);
    EXPECT_EQ(state.appliance_can_help, appliance_can_help);
    EXPECT_GT(opened->usage().size, 0u); // that much can be told
    EXPECT_FALSE(opened->details().empty());
    for (const auto& analysis : {std::function<void()>([&] { opened->free_extents(); }),
                                 std::function<void()>([&] { opened->minimum_size(); })})
        try {
            analysis();
            ADD_FAILURE() << "analysed all the same";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::damaged);
            EXPECT_EQ(error.reason(), reason);
            EXPECT_NE(std::string(error.what()).find(state.sentence), std::string::npos) << error.what();
        }
}

void expect_unsupported(const std::string& path, Reason reason, const std::string& words) {
    dt::FileDevice device(path);
    EXPECT_GT(Plugin().probe(device), 0);
    try {
        Plugin().open(device);
        ADD_FAILURE() << "opened; expected: " << words;
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::unsupported) << error.what();
        EXPECT_EQ(error.reason(), reason) << error.what();
        EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
}

void write_and_fsync(const std::string& path) {
    dt::write_file(path, std::string(300000, 'x'));
    const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_GE(file, 0);
    EXPECT_EQ(fsync(file), 0);
    close(file);
}

const Recipe plain{"plain", 256};

} // namespace

// What fsync wrote is in a log tree, whose blocks (and the data of the file) no extent tree knows.
TEST(State, CopyOfAMountedOneWithALogTreeNeedsItsReplay) {
    MadeFilesystem made(plain);
    std::string live;
    {
        const Mounted mounted(made);
        dt::write_file(mounted / "first", "x");
        dt::run_tool({"sync", "-f", mounted.point()});
        write_and_fsync(mounted / "file");
        live = made.copy("live.img");
    }
    expect_untrusted(live, Reason::journal_needs_replay, true);
    EXPECT_TRUE(Opened(made.path())->state().clean());
    // The appliance's help is a mount.
    { const Mounted replay(live, made.beside("mnt"), "noatime"); }
    Opened replayed(live);
    EXPECT_TRUE(replayed->state().clean());
    EXPECT_EQ(replayed->free_extents().total(), replayed->usage().free);
}

// After a commit a crash loses nothing that the map does not know.
TEST(State, CopyOfAMountedOneWithoutALogTreeIsClean) {
    MadeFilesystem made(plain);
    std::string live;
    {
        const Mounted mounted(made);
        dt::write_file(mounted / "file", std::string(300000, 'x'));
        dt::run_tool({"sync", "-f", mounted.point()});
        live = made.copy("live.img");
    }
    Opened opened(live);
    ASSERT_TRUE(opened->state().clean());
    {
        dt::FileDevice device(live, Access::write);
        const std::vector<std::byte> pattern(256 * MiB, std::byte{0xaa});
        for (const Range range : opened->free_extents())
            device.write(range.offset, std::span(pattern).first(range.length));
    }
    EXPECT_TRUE(check_clean(live));
    EXPECT_NE(digest_of_files(made, live).find("./file"), std::string::npos);
}

TEST(State, FlagsOfTheSuperblock) {
    const auto with_flag = [](std::uint64_t flag) {
        auto made = std::make_unique<MadeFilesystem>(plain);
        made->patch_superblock(0x38, little_endian(1 | flag, 8));
        return made;
    };
    expect_untrusted(with_flag(1ull << 2)->path(), Reason::filesystem_has_errors, false);
    for (const unsigned bit : {35u, 36u, 38u, 39u, 40u})
        expect_untrusted(with_flag(1ull << bit)->path(), Reason::filesystem_dirty, false);
    for (const unsigned bit : {33u, 34u})
        expect_unsupported(with_flag(1ull << bit)->path(), Reason::feature_not_supported, "btrfs-image");
}

TEST(State, ANewerMirrorIsNotIgnored) {
    MadeFilesystem made(plain);
    made.patch_superblock(0x48, little_endian(1000, 8), superblock_places[1]);
    expect_untrusted(made.path(), Reason::filesystem_dirty, true);
    // The mirror of another file system that was there before says nothing.
    made.patch_superblock(0x20, "another one here", superblock_places[1]);
    EXPECT_TRUE(Opened(made.path())->state().clean());
    MadeFilesystem older(plain);
    older.patch_superblock(0x48, little_endian(1, 8), superblock_places[1]);
    EXPECT_TRUE(Opened(older.path())->state().clean());
}

TEST(State, SeveralDevicesAreRefused) {
    for (const char* profiles : {"-d single -m dup", "-d raid0 -m raid1", "-d raid1 -m raid1"}) {
        dt::TemporaryFolder folder;
        for (const char* name : {"a.img", "b.img"}) {
            dt::write_file(folder / name, "");
            std::filesystem::resize_file(folder / name, 256 * MiB);
        }
        dt::run_tool(
            {"sh", "-c", fmt::format("mkfs.btrfs -q {} {} {}", profiles, folder / "a.img", folder / "b.img")});
        for (const char* name : {"a.img", "b.img"})
            expect_unsupported(folder / name, Reason::several_devices, "spans 2 devices");
    }
}

TEST(State, ASeedIsRefused) {
    MadeFilesystem made(plain);
    dt::run_tool({"btrfstune", "-f", "-S", "1", made.path()});
    expect_unsupported(made.path(), Reason::several_devices, "seed device");
}

TEST(State, SpreadLayoutsAreRefusedByName) {
    MadeFilesystem striped({"striped", 256, "-d raid0 -m single"}); // of one stripe, as newer kernels allow
    expect_unsupported(striped.path(), Reason::feature_not_supported, "RAID0");
    for (const auto& [bit, name] : {std::pair{6u, "RAID10"}, std::pair{7u, "RAID5"}, std::pair{8u, "RAID6"}}) {
        MadeFilesystem made(plain);
        made.patch_superblock(0x32b + key_size + 24, little_endian(profile::system | 1ull << bit, 8));
        expect_unsupported(made.path(), Reason::feature_not_supported, name);
    }
}

// Its file system id was changed: the nodes bear the old one.
TEST(State, AMetadataUuidIsUnderstood) {
    MadeFilesystem made(plain);
    dt::run_tool({"btrfstune", "-f", "-m", made.path()});
    Opened opened(made.path());
    EXPECT_TRUE(opened->state().clean());
    EXPECT_EQ(opened->free_extents().total(), opened->usage().free);
}

TEST(State, AnInterruptedBalanceForbidsResizing) {
    MadeFilesystem made({"balance", 2048});
    {
        const Mounted mounted(made);
        for (int i = 0; i < 5000; ++i)
            dt::write_file(mounted / fmt::format("f{}", i), std::string(6000, 'x'));
        dt::run_tool({"fallocate", "-l", "900M", mounted / "large"});
        dt::run_tool({"sync", "-f", mounted.point()});
        // It may not have begun yet when it is to pause, or may have ended already.
        bool paused = false;
        for (int attempt = 0; attempt < 400 && !paused; ++attempt) {
            if (attempt % 20 == 0) {
                dt::exit_status_of(
                    {"btrfs", "balance", "start", "--background", "--full-balance", mounted.point()});
            }
            paused = dt::exit_status_of({"btrfs", "balance", "pause", mounted.point()}) == 0;
        }
        ASSERT_TRUE(paused);
    }
    Opened opened(made.path());
    EXPECT_TRUE(opened->state().clean());
    EXPECT_EQ(opened->free_extents().total(), opened->usage().free);
    EXPECT_EQ(opened->can_shrink(), Reason::filesystem_dirty);
    EXPECT_EQ(opened->can_grow(), Reason::filesystem_dirty);
    EXPECT_EQ(opened->minimum_size().bytes, made.size());
    EXPECT_NE(opened->minimum_size().sentence.find("balance"), std::string::npos);
    {
        const Mounted mounted(made, ",skip_balance");
        dt::run_tool({"btrfs", "balance", "cancel", mounted.point()});
    }
    EXPECT_EQ(Opened(made.path())->can_shrink(), Reason::none);
}

} // namespace disktool::btrfs::test
