// SPDX-License-Identifier: LGPL-2.1-or-later
// When the map on disk is not to be believed.
#include "made_filesystem.h"

#include <disktool/error.h>

#include <gtest/gtest.h>

#include <functional>

namespace disktool::ext4::test {

namespace dt = disktool::test;

namespace {

/// Mounted by the kernel on a loop device, unmounted in any case at the end.
class Mounted {
  public:
    explicit Mounted(const MadeFilesystem& made) : point_(made.beside("mnt")) {
        std::filesystem::create_directory(point_);
        dt::run_tool({"mount", "-o", "loop", made.path(), point_});
    }
    ~Mounted() { dt::exit_status_of({"umount", point_}); }
    Mounted(const Mounted&) = delete;
    Mounted& operator=(const Mounted&) = delete;

    std::string operator/(const std::string& name) const { return point_ + "/" + name; }

  private:
    std::string point_;
};

/// A copy taken while it is mounted and in use: what a snapshot of a running guest looks like.
std::string copy_while_mounted(const MadeFilesystem& made) {
    Mounted mounted(made);
    dt::write_file(mounted / "file", std::string(100000, 'x'));
    dt::run_tool({"sync", "-f", mounted / "file"});
    return made.copy("live.img");
}

void expect_untrusted(const std::string& path, Reason reason, bool appliance_can_help) {
    Opened opened(path);
    const FilesystemState state = opened->state();
    EXPECT_EQ(state.reason, reason) << state.sentence;
    EXPECT_FALSE(state.free_map_trusted);
    EXPECT_EQ(state.appliance_can_help, appliance_can_help);
    EXPECT_GT(opened->usage().size, 0u); // that much can be told
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

const Recipe ext4{"ext4", 40000, "-t ext4 -b 1024"};

} // namespace

TEST(State, CopyOfAMountedExt4NeedsItsJournal) {
    MadeFilesystem made(ext4);
    const std::string live = copy_while_mounted(made);
    expect_untrusted(live, Reason::journal_needs_replay, true);
    // After a clean unmount all is well, and after a replay too.
    EXPECT_TRUE(Opened(made.path())->state().clean());
    dt::exit_status_of({"e2fsck", "-fy", live});
    Opened replayed(live);
    EXPECT_TRUE(replayed->state().clean());
    EXPECT_EQ(replayed->free_extents().total(), replayed->usage().free);
}

TEST(State, CopyOfAMountedExt2IsDirty) {
    MadeFilesystem made({"ext2", 20000, "-t ext2"});
    expect_untrusted(copy_while_mounted(made), Reason::filesystem_dirty, false);
    EXPECT_TRUE(Opened(made.path())->state().clean());
}

TEST(State, ErrorFlagCountsMoreThanTheJournal) {
    MadeFilesystem made(ext4);
    made.debugfs("set_super_value state 3");
    expect_untrusted(made.path(), Reason::filesystem_has_errors, false);
    made.debugfs("feature needs_recovery");
    expect_untrusted(made.path(), Reason::filesystem_has_errors, false);
}

TEST(State, ExternalJournalIsBeyondTheAppliance) {
    MadeFilesystem made(ext4);
    made.debugfs("set_super_value journal_inum 0");
    made.debugfs("feature needs_recovery");
    expect_untrusted(made.path(), Reason::journal_needs_replay, false);
    EXPECT_NE(Opened(made.path())->state().sentence.find("another device"), std::string::npos);
}

TEST(State, MultipleMountProtectionTellsWhoIsAtIt) {
    MadeFilesystem made({"mmp", 40000, "-t ext4 -b 1024 -O mmp,^metadata_csum"});
    EXPECT_TRUE(Opened(made.path())->state().clean());
    // debugfs would wait for the other side and then mark the block as clean again.
    const std::uint64_t block = std::stoull(made.header("MMP block number")) * 1024;
    made.patch(block + 16, "node-7");
    made.patch(block + 4, "\x50\x4d\x4d\xe2");
    expect_untrusted(made.path(), Reason::filesystem_being_checked, false);
    made.patch(block + 4, "\x05\x01\x01\x01");
    expect_untrusted(made.path(), Reason::filesystem_dirty, false);
    EXPECT_NE(Opened(made.path())->state().sentence.find("node-7"), std::string::npos);
}

// Their blocks are still marked as used, so nothing of them is given away.
TEST(State, OrphansDoNotMakeACleanOneDirty) {
    MadeFilesystem made(ext4);
    const std::uint64_t before = Opened(made.path())->free_extents().total();
    made.debugfs("set_super_value last_orphan 11");
    Opened opened(made.path());
    EXPECT_TRUE(opened->state().clean());
    EXPECT_EQ(opened->free_extents().total(), before);
}

} // namespace disktool::ext4::test
