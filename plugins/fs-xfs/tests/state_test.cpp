// SPDX-License-Identifier: LGPL-2.1-or-later
// When the map on disk is not to be believed: what the end of the log says.
#include "big_endian.h"
#include "made_filesystem.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <sstream>

namespace disktool::xfs::test {

namespace dt = disktool::test;

namespace {

const Recipe small{"small", 64, "-l size=8m"};

/// Holds a mounted file system still, as a backup of a running guest does.
class Frozen {
  public:
    explicit Frozen(const Mounted& mounted) : point_(mounted.point()) {
        dt::run_tool({"fsfreeze", "-f", point_});
    }
    ~Frozen() { dt::exit_status_of({"fsfreeze", "-u", point_}); }
    Frozen(const Frozen&) = delete;
    Frozen& operator=(const Frozen&) = delete;

  private:
    std::string point_;
};

void expect_untrusted(const std::string& path, Reason reason, bool appliance_can_help) {
    Opened opened(path);
    const FilesystemState state = opened->state();
    EXPECT_EQ(name(state.reason), name(reason)) << state.sentence;
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

void expect_dirty(const std::string& path) {
    expect_untrusted(path, Reason::journal_needs_replay, true);
}

void expect_clean(const std::string& path) {
    Opened opened(path);
    EXPECT_TRUE(opened->state().clean()) << opened->state().sentence;
    EXPECT_GT(opened->free_extents().total(), 0u);
}

void replay(const MadeFilesystem& made, const std::string& path) {
    const Mounted mounted(path, made.beside("mnt"));
}

/// Changes that put some 3 MB into the log when inodes have 2 KiB: links whose targets are kept in the inode.
void churn(const Mounted& mounted, int seed) {
    const std::string folder = mounted / "links";
    std::filesystem::remove_all(folder);
    std::filesystem::create_directory(folder);
    for (int i = 0; i < 1500 + seed * 37; ++i)
        std::filesystem::create_symlink(std::string(900, 'x'), folder + fmt::format("/{}", i));
    dt::run_tool({"sync", "-f", mounted.point()});
}

std::uint64_t log_offset(const MadeFilesystem& made) {
    const Superblock super = made.superblock();
    return super.offset(static_cast<std::uint32_t>(super.log_place().group), super.log_place().block);
}

std::uint64_t log_length(const MadeFilesystem& made) {
    return made.number("sb 0", "logblocks") * made.number("sb 0", "blocksize");
}

std::uint32_t first_cycle(const MadeFilesystem& made) {
    std::byte block[8];
    dt::FileDevice(made.path()).read(log_offset(made), block);
    const std::uint32_t word = be32(block, 0);
    return word == 0xfeedbabe ? be32(block, 4) : word;
}

void zero(const MadeFilesystem& made, std::uint64_t offset, std::uint64_t length) {
    dt::FileDevice(made.path(), Access::write).zero({offset, length});
}

/// What the kernel does with it, as the judge: it replays a log only of a dirty one.
bool kernel_finds_clean(const MadeFilesystem& made) {
    // -t: the tail and the state only. The program is of the kernel's own source.
    const std::string text = dt::result_of({"xfs_logprint", "-t", made.path()}).output;
    EXPECT_NE(text.find("<"), std::string::npos) << text;
    return text.find("<CLEAN>") != std::string::npos;
}

} // namespace

TEST(State, CopyOfAMountedOneNeedsItsLog) {
    MadeFilesystem made(small);
    std::string live;
    {
        const Mounted mounted(made.path(), made.beside("mnt"));
        expect_clean(made.copy("just-mounted.img")); // nothing has changed yet
        fill(mounted, 40, 60000);
        dt::run_tool({"sync", "-f", mounted.point()});
        live = made.copy("live.img");
    }
    expect_dirty(live);
    expect_clean(made.path());
    replay(made, live);
    expect_clean(live);
    Opened replayed(live);
    EXPECT_LE(replayed->free_extents().total(), replayed->usage().free);
    EXPECT_TRUE(repair_clean(live));
}

// A freeze leaves the log marked on purpose, so that the copy is recovered when it is mounted.
TEST(State, FrozenCopyNeedsItsLog) {
    MadeFilesystem made(small);
    {
        const Mounted mounted(made.path(), made.beside("mnt"));
        fill(mounted, 40, 60000);
        const Frozen frozen(mounted);
        made.copy("frozen.img");
    }
    expect_dirty(made.beside("frozen.img"));
    replay(made, made.beside("frozen.img"));
    expect_clean(made.beside("frozen.img"));
}

TEST(State, ShutDownHardNeedsItsLog) {
    for (const char* how : {"shutdown", "shutdown -f"}) {
        MadeFilesystem made(small);
        {
            const Mounted mounted(made.path(), made.beside("mnt"));
            churn(mounted, 2);
            dt::run_tool({"xfs_io", "-x", "-c", how, mounted.point()});
        }
        EXPECT_FALSE(kernel_finds_clean(made));
        expect_dirty(made.path());
        replay(made, made.path());
        expect_clean(made.path());
        EXPECT_TRUE(repair_clean(made.path()));
    }
}

class Ring : public testing::TestWithParam<std::pair<const char*, const char*>> {};

// The log fills several times; each clean unmount is seen, wherever in the ring it comes, and each live copy.
TEST_P(Ring, EndsWhereItEnds) {
    const auto& [mkfs, mount] = GetParam();
    MadeFilesystem made({"ring", 128, mkfs});
    const std::uint32_t start = first_cycle(made);
    for (int pass = 0; pass < 40 && first_cycle(made) < start + 2; ++pass) {
        {
            const Mounted mounted(made.path(), made.beside("mnt"), mount);
            churn(mounted, pass % 5);
            made.copy("live.img");
        }
        ASSERT_TRUE(kernel_finds_clean(made)) << pass;
        expect_clean(made.path());
        expect_dirty(made.beside("live.img"));
        if (HasFailure())
            break;
    }
    EXPECT_GE(first_cycle(made), start + 2) << "the log has not gone around";
    EXPECT_TRUE(repair_clean(made.path()));
}

INSTANTIATE_TEST_SUITE_P(Kinds, Ring,
                         testing::Values(std::pair{"-i size=2048", "logbsize=32k"},
                                         std::pair{"-i size=2048 -b size=8192", "logbsize=256k"},
                                         std::pair{"-i size=2048 -l su=32k", "logbsize=64k"},
                                         std::pair{"-i size=2048 -l su=256k", "logbsize=256k"},
                                         std::pair{"-i size=2048 -s size=4096", "logbsize=128k"}));

// xfs_repair -L throws the log away and fills it with empty records of a later round.
TEST(State, LogThatRepairHasReplacedIsClean) {
    MadeFilesystem made(small);
    {
        const Mounted mounted(made.path(), made.beside("mnt"));
        churn(mounted, 2);
        dt::run_tool({"xfs_io", "-x", "-c", "shutdown", mounted.point()});
    }
    dt::run_tool({"xfs_repair", "-L", "-f", made.path()});
    EXPECT_TRUE(kernel_finds_clean(made));
    expect_clean(made.path());
}

TEST(State, ZeroedLogIsCleanOnlyWhenAllOfItIsZero) {
    MadeFilesystem made(small);
    zero(made, log_offset(made), log_length(made));
    expect_clean(made.path());
    replay(made, made.path()); // the kernel takes it, too
    expect_clean(made.path());
    zero(made, log_offset(made), 512);
    expect_untrusted(made.path(), Reason::filesystem_damaged, false);
    EXPECT_NE(Opened(made.path())->state().sentence.find("starts with zeros and is not empty"),
              std::string::npos);
}

// The record begins in the last block of the ring and goes on in the first.
TEST(State, UnmountRecordAroundTheEndOfTheRing) {
    for (const char* options : {"-l size=8m", "-m crc=0 -l size=8m,version=1"}) {
        MadeFilesystem made({"wrapped", 64, options});
        const std::uint64_t start = log_offset(made);
        const std::uint64_t blocks = log_length(made) / 512;
        std::vector<std::byte> record(1024);
        dt::FileDevice(made.path()).read(start, record);
        std::string header(reinterpret_cast<const char*>(record.data()), 512);
        std::string body(reinterpret_cast<const char*>(record.data()) + 512, 512);
        // All of the ring in round 1, then the record: its header in round 1, its body in round 2.
        for (std::uint64_t block = 0; block < blocks; ++block)
            made.patch(start + block * 512, big_endian_bytes(1, 4));
        const std::string place = big_endian_bytes(1, 4) + big_endian_bytes(blocks - 1, 4);
        header.replace(16, 16, place + place);
        made.patch(start + (blocks - 1) * 512, header);
        made.patch(start, big_endian_bytes(2, 4) + body.substr(4));
        EXPECT_TRUE(kernel_finds_clean(made));
        expect_clean(made.path());
        // Without the flag of an unmount in its operation it is any other record.
        made.patch(start + 9, std::string(1, '\0'));
        expect_dirty(made.path());
    }
}

// What a crash leaves whose first writes did not get to disk, but later ones did.
TEST(State, RecordsBehindAGapAreNotOverlooked) {
    MadeFilesystem made(small);
    expect_clean(made.path());
    made.patch(log_offset(made) + 300 * 512, big_endian_bytes(1, 4));
    expect_dirty(made.path());
}

TEST(State, LogOfAnotherFileSystem) {
    MadeFilesystem made(small);
    made.patch(log_offset(made) + 304, "another one's id");
    expect_untrusted(made.path(), Reason::filesystem_damaged, false);
    EXPECT_NE(Opened(made.path())->state().sentence.find("another UUID"), std::string::npos);
}

TEST(State, LogChecksumThatIsWrong) {
    MadeFilesystem made(small);
    made.patch(log_offset(made) + 32, "sum!"); // mkfs.xfs has left it out
    expect_dirty(made.path());
}

TEST(State, RoundsThatCannotFollowEachOther) {
    MadeFilesystem made(small);
    made.patch(log_offset(made) + log_length(made) - 512, big_endian_bytes(7, 4));
    expect_untrusted(made.path(), Reason::filesystem_damaged, false);
    EXPECT_NE(Opened(made.path())->state().sentence.find("starts in round 1 and ends in round 7"),
              std::string::npos);
}

// The way out of a log nobody here can replay is the guest, not the appliance.
TEST(State, LogWithUnknownFeatures) {
    MadeFilesystem made(small);
    made.patch(220, big_endian_bytes(0x8, 4));
    made.seal(0, 512, 224);
    expect_clean(made.path());
    made.patch(log_offset(made) + 512 + 9, std::string(1, '\0'));
    expect_untrusted(made.path(), Reason::journal_needs_replay, false);
}

TEST(State, ExternalLogIsNotHere) {
    dt::TemporaryFolder folder;
    const std::string log = folder / "log.img";
    dt::write_file(log, "");
    std::filesystem::resize_file(log, 16 * MiB);
    MadeFilesystem made({"external", 64, ("-l logdev=" + log + ",size=16m").c_str()});
    expect_untrusted(made.path(), Reason::several_devices, false);
    EXPECT_EQ(Opened(made.path())->can_grow(), Reason::several_devices);
}

} // namespace disktool::xfs::test
