// SPDX-License-Identifier: LGPL-2.1-or-later
// The door on which the crash tests stand must itself be right: what it says a crash leaves is compared here
// with what the rules of the host's file systems allow.
#include "support/recording_door.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <map>
#include <set>

namespace disktool::test {
namespace {

using testing::HasSubstr;

std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
}

class RecordingDoorTest : public testing::Test {
  protected:
    RecordingDoorTest() { write_file(folder_ / "old", "0123456789"); }

    /// Names and contents that a cut leaves.
    std::map<std::string, std::string> left(const RecordingDoor& door, std::size_t cut, Survivors survivors,
                                            std::uint32_t seed = 0) {
        door.materialise(cut, survivors, after_.path(), seed);
        return content_of(after_);
    }
    static std::map<std::string, std::string> content_of(const TemporaryFolder& folder) {
        std::map<std::string, std::string> result;
        for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
            result[entry.path().filename().string()] = read_file(entry.path().string());
        return result;
    }
    using Files = std::map<std::string, std::string>;

    TemporaryFolder folder_;
    TemporaryFolder after_;
};

TEST_F(RecordingDoorTest, ReplaysEveryKindOfChange) {
    RecordingDoor door(folder_.path());
    std::vector<Files> states = {content_of(folder_)};
    const auto done = [&] { states.push_back(content_of(folder_)); };
    const auto old = door.open(folder_ / "old", {.write = true});
    old->write(2, bytes("xyz")), done();
    old->truncate(8), done();
    old->punch_hole({0, 3}), done();
    old->zero({6, 4}), done();
    old->allocate({0, 8192}, false), done();
    old->sync_data(), done();
    const auto fresh = door.open(folder_ / "fresh", {.write = true, .create = true});
    done();
    fresh->write(0, bytes("fresh")), done();
    fresh->sync(), done();
    door.link(folder_ / "old", folder_ / "second"), done();
    door.rename(folder_ / "fresh", folder_ / "old"), done();
    old->write(0, bytes("still there under its second name")), done();
    door.remove(folder_ / "old"), done();
    door.sync_directory(folder_.path().string()), done();
    door.open(folder_ / "second", {.write = true, .truncate = true}), done();
    fresh->write(0, bytes("has no name any more")), done();

    ASSERT_EQ(door.cuts().size(), states.size());
    for (const std::size_t cut : door.cuts()) {
        SCOPED_TRACE(door.describe(cut));
        EXPECT_EQ(left(door, cut, Survivors::all), states[cut]);
    }
    EXPECT_EQ(door.describe(1), "after 1 changes, the last: write 3 bytes at offset 2 of old");
}

TEST_F(RecordingDoorTest, TruthOfContentIsWhatWasSynced) {
    RecordingDoor door(folder_.path());
    const auto file = door.open(folder_ / "old", {.write = true});
    file->write(0, bytes("A"));
    file->sync_data();
    file->write(1, bytes("B"));
    EXPECT_EQ(left(door, 1, Survivors::synced), (Files{{"old", "0123456789"}}));
    EXPECT_EQ(left(door, 2, Survivors::synced), (Files{{"old", "A123456789"}}));
    EXPECT_EQ(left(door, 3, Survivors::synced), (Files{{"old", "A123456789"}}));
    EXPECT_EQ(left(door, 3, Survivors::all), (Files{{"old", "AB23456789"}}));
}

TEST_F(RecordingDoorTest, AFailedSyncIsNeverMadeGoodByALaterOne) {
    RecordingDoor door(folder_.path());
    const auto file = door.open(folder_ / "old", {.write = true});
    file->write(0, bytes("A"));
    door.fail_sync(1, EIO);
    EXPECT_THROW(file->sync_data(), SystemError);
    EXPECT_TRUE(door.failed());
    file->write(1, bytes("B"));
    file->sync_data();
    EXPECT_EQ(left(door, door.changes().size(), Survivors::synced), (Files{{"old", "0B23456789"}}));
}

TEST_F(RecordingDoorTest, TruthOfNamesIsWhatTheFolderSynced) {
    RecordingDoor door(folder_.path());
    const auto file = door.open(folder_ / "new", {.write = true, .create = true, .exclusive = true}); // 1
    file->write(0, bytes("new"));                                                                     // 2
    file->sync();                                                                                     // 3
    door.rename(folder_ / "new", folder_ / "old");                                                    // 4
    door.sync_directory(folder_.path().string());                                                     // 5
    door.remove(folder_ / "old");                                                                     // 6
    for (std::size_t cut = 0; cut <= 4; ++cut)
        EXPECT_EQ(left(door, cut, Survivors::synced), (Files{{"old", "0123456789"}})) << cut;
    EXPECT_EQ(left(door, 5, Survivors::synced), (Files{{"old", "new"}}));
    EXPECT_EQ(left(door, 6, Survivors::synced), (Files{{"old", "new"}}));
    EXPECT_EQ(left(door, 6, Survivors::all), Files{});
}

TEST_F(RecordingDoorTest, PowerCutFindsTheRenameWithoutSync) {
    RecordingDoor door(folder_.path());
    const auto file = door.open(folder_ / "new", {.write = true, .create = true});
    file->write(0, bytes("new"));
    door.rename(folder_ / "new", folder_ / "old");
    // The mistake that every such tool makes once: the name is there, what belongs under it is not.
    std::set<Files> seen;
    for (std::uint32_t seed = 0; seed < 60; ++seed)
        seen.insert(left(door, 3, Survivors::random, seed));
    EXPECT_TRUE(seen.contains(Files{{"old", ""}}));
    EXPECT_TRUE(seen.contains(Files{{"old", "new"}}));
    EXPECT_TRUE(seen.contains(Files{{"old", "0123456789"}}));
    EXPECT_TRUE(seen.contains(Files{{"old", "0123456789"}, {"new", "new"}}));
    for (const Files& files : seen)
        EXPECT_TRUE(files.contains("old"));
}

TEST_F(RecordingDoorTest, RandomPowerCutsKeepWhatWasSyncedAndMixTheRest) {
    write_file(folder_ / "disk", std::string(8192, '.'));
    RecordingDoor door(folder_.path());
    const auto file = door.open(folder_ / "disk", {.write = true});
    file->write(0, bytes(std::string(2048, 's')));
    file->sync_data();
    file->write(4096, bytes(std::string(2048, 'a')));
    file->write(6144, bytes(std::string(2048, 'b')));
    std::set<std::string> seen;
    bool only_later = false, torn = false;
    for (std::uint32_t seed = 0; seed < 60; ++seed) {
        const std::string disk = left(door, 4, Survivors::random, seed).at("disk");
        ASSERT_EQ(disk.size(), 8192u);
        EXPECT_EQ(disk.substr(0, 4096), std::string(2048, 's') + std::string(2048, '.'));
        for (std::size_t at = 4096; at < 8192; at += 512) { // a sector is there or not
            const std::string sector = disk.substr(at, 512);
            const char there = at < 6144 ? 'a' : 'b';
            EXPECT_TRUE(sector == std::string(512, '.') || sector == std::string(512, there));
        }
        const std::string a = disk.substr(4096, 2048), b = disk.substr(6144, 2048);
        only_later = only_later || (a == std::string(2048, '.') && b == std::string(2048, 'b'));
        torn = torn || (a.find('a') != std::string::npos && a.find('.') != std::string::npos);
        seen.insert(disk);
    }
    EXPECT_TRUE(only_later);
    EXPECT_TRUE(torn);
    EXPECT_GT(seen.size(), 10u);
    EXPECT_EQ(left(door, 4, Survivors::random, 7), left(door, 4, Survivors::random, 7));
}

TEST_F(RecordingDoorTest, AKillTearsTheLastWriteAtAPage) {
    write_file(folder_ / "disk", std::string(16384, '.'));
    RecordingDoor door(folder_.path());
    const auto file = door.open(folder_ / "disk", {.write = true});
    file->write(0, bytes(std::string(16384, 'a')));
    file->write(100, bytes(std::string(4096, 'b')));
    EXPECT_EQ(left(door, 1, Survivors::torn).at("disk"), std::string(8192, 'a') + std::string(8192, '.'));
    // Its half ends in the page in which it begins: nothing of it is there.
    EXPECT_EQ(left(door, 2, Survivors::torn).at("disk"), std::string(16384, 'a'));
}

TEST_F(RecordingDoorTest, LetsTheNthChangeFail) {
    RecordingDoor door(folder_.path());
    const auto file = door.open(folder_ / "old", {.write = true});
    file->write(0, bytes("a"));
    door.fail_change(2, EIO);
    file->write(1, bytes("b"));
    EXPECT_FALSE(door.failed());
    try {
        file->punch_hole({0, 2});
        FAIL();
    } catch (const SystemError& error) {
        EXPECT_EQ(error.error_number(), EIO);
        EXPECT_THAT(error.what(), HasSubstr("punch 2 bytes at offset 0 of old"));
    }
    EXPECT_TRUE(door.failed());
    EXPECT_EQ(read_file(folder_ / "old"), "ab23456789");
    EXPECT_EQ(door.changes().size(), 2u);
    file->punch_hole({0, 2}); // only that once
    EXPECT_EQ(door.changes().size(), 3u);
}

TEST_F(RecordingDoorTest, RunsOutOfSpaceAfterThePartThatFits) {
    RecordingDoor door(folder_.path());
    const auto file = door.open(folder_ / "old", {.write = true});
    door.limit_space(5);
    file->write(0, bytes("abc"));
    EXPECT_FALSE(door.failed());
    try {
        file->write(3, bytes("defg"));
        FAIL();
    } catch (const SystemError& error) {
        EXPECT_EQ(error.code(), ErrorCode::no_space);
    }
    EXPECT_TRUE(door.failed());
    EXPECT_EQ(read_file(folder_ / "old"), "abcde56789");
    EXPECT_EQ(left(door, 2, Survivors::all).at("old"), "abcde56789");
    EXPECT_THROW(file->zero({0, 1}), SystemError);
    EXPECT_THROW(file->allocate({0, 1}, true), SystemError);
    file->punch_hole({0, 1}); // needs none
}

TEST_F(RecordingDoorTest, FailedReplaceOfATextLeavesTheOldOne) {
    for (std::size_t number = 1;; ++number) {
        const TemporaryFolder folder;
        write_file(folder / "text", "old");
        RecordingDoor door(folder.path());
        door.fail_change(number, EIO);
        bool thrown = false;
        try {
            door.replace_text(folder / "text", "new");
        } catch (const SystemError&) {
            thrown = true;
        }
        if (!door.failed()) {
            EXPECT_GT(number, 5u); // create, write, sync, rename, sync of the folder
            break;
        }
        EXPECT_TRUE(thrown);
        // Only the folder's sync comes after the rename.
        EXPECT_EQ(content_of(folder), (Files{{"text", number <= 4 ? "old" : "new"}})) << number;
    }
}

TEST_F(RecordingDoorTest, ReplaceTextIsOldOrNewWhereverThePowerGoes) {
    RecordingDoor door(folder_.path());
    door.replace_text(folder_ / "old", "new");
    for (const std::size_t cut : door.cuts()) {
        SCOPED_TRACE(door.describe(cut));
        for (std::uint32_t seed = 0; seed < 20; ++seed) {
            const std::string text = left(door, cut, Survivors::random, seed).at("old");
            EXPECT_TRUE(text == "0123456789" || text == "new") << text;
        }
    }
    EXPECT_EQ(left(door, door.changes().size(), Survivors::synced), (Files{{"old", "new"}}));
}

TEST_F(RecordingDoorTest, ReadsAndLocksAreThoseOfTheRealFile) {
    RecordingDoor door(folder_.path());
    const auto file = door.open(folder_ / "old", {.write = true});
    std::string text(10, '?');
    file->read(0, std::as_writable_bytes(std::span(text)));
    EXPECT_EQ(text, "0123456789");
    EXPECT_GE(file->descriptor(), 0);
    EXPECT_TRUE(file->try_flock(LockMode::exclusive));
    EXPECT_FALSE(real_doors().files.open(folder_ / "old", {})->try_flock(LockMode::shared));
    EXPECT_TRUE(door.changes().empty());
}

TEST_F(RecordingDoorTest, RefusesWhatItCouldNotReplay) {
    const TemporaryFolder elsewhere;
    RecordingDoor door(folder_.path());
    EXPECT_THROW(door.open(elsewhere / "x", {.write = true, .create = true}), std::logic_error);
    EXPECT_THROW(door.rename(folder_ / "old", elsewhere / "x"), std::logic_error);
    write_file(folder_ / "late", "not through the door");
    EXPECT_THROW(door.open(folder_ / "late", {.write = true}), std::logic_error);
    EXPECT_THROW(door.materialise(0, Survivors::all, folder_.path()), std::logic_error);
}

} // namespace
} // namespace disktool::test
