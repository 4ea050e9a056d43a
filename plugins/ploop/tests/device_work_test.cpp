// SPDX-License-Identifier: LGPL-2.1-or-later
// A block device gets a new state: killed at each change, and what the next run makes of it. A file stands for
// the device.
#include "device_work.h"
#include "made_disk.h"

#include <gmock/gmock.h>

#include <cerrno>

namespace disktool::ploop::operations_test {

namespace {

using disktool::test::read_file;
using disktool::test::RecordingDoor;
using disktool::test::Survivors;
using disktool::test::write_file;

constexpr std::uint64_t device_clusters = 20;
constexpr std::uint64_t device_size = device_clusters * cluster_bytes + 5 * 512; ///< it ends within a cluster

class DeviceWorkTest : public testing::Test {
  protected:
    void SetUp() override { make(); }

    /// Letters a, and a GPT's header in its second sector.
    void make() {
        std::string content;
        for (std::uint64_t i = 0; i <= device_clusters; ++i) {
            content += cluster_of('a', i);
        }
        content.resize(device_size);
        content.replace(512, 8, "EFI PART");
        content.replace(512 + 56, 16, "0123456789abcdef");
        before = content;
        write_file(folder / "device", content);
        for (const std::uint64_t cluster : {1, 2, 7, 19}) {
            content.replace(cluster * cluster_bytes, cluster_bytes, cluster_of('n', cluster));
        }
        content.replace(3 * cluster_bytes + 1000, 700, 700, 'x');
        content.replace(12 * cluster_bytes, cluster_bytes, cluster_bytes, '\0');
        content.replace(device_size - 512, 512, 512, 'e');
        after = content;
    }

    void change(Doors doors, std::uint64_t size = device_size) {
        const auto device = doors.files.open(folder / "device", {.write = true});
        DeviceWork work(doors, *device, folder.path().string(), device_size);
        for (const std::uint64_t cluster : {1, 2, 7, 19}) {
            work.write(cluster * cluster_bytes, bytes_of(cluster_of('n', cluster)));
        }
        work.write(3 * cluster_bytes + 1000, bytes_of(std::string(700, 'x')));
        work.discard({12 * cluster_bytes, cluster_bytes});
        work.write(device_size - 512, bytes_of(std::string(512, 'e')));
        EXPECT_EQ(read_file(folder / "device"), before);
        WorkCommit commit;
        commit.size = size;
        work.commit(commit);
    }

    /// The next run on what is left in `where`. True: there was something to copy.
    static bool finish(const TemporaryFolder& where) {
        const auto device = real_doors().files.open(where / "device", {.write = true});
        return finish_device_work(real_doors(), *device, where.path().string());
    }

    /// A copy of the device, killed when so many changes of it were made.
    void kill_in_the_copy(const TemporaryFolder& left, std::size_t writes) {
        RecordingDoor door(folder.path());
        change({door, real_doors().processes});
        const auto& changes = door.changes();
        for (std::size_t i = 0; i < changes.size(); ++i) {
            if (changes[i].path == "device" && writes-- == 0) {
                door.materialise(i, Survivors::all, left.path());
                return;
            }
        }
        FAIL() << "it is not changed that often";
    }

    TemporaryFolder folder;
    std::string before, after;
};

TEST_F(DeviceWorkTest, WritesWhatHasChangedAndLeavesNothing) {
    change(real_doors());
    EXPECT_EQ(read_file(folder / "device"), after);
    EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"device"});
    EXPECT_FALSE(finish(folder));
}

TEST_F(DeviceWorkTest, ACutIsFinishedByTheNextRun) {
    RecordingDoor door(folder.path());
    change({door, real_doors().processes});
    TemporaryFolder left;
    int old_ones = 0, copied = 0;
    for (const std::size_t cut : door.cuts()) {
        std::vector<std::pair<Survivors, std::uint32_t>> fates = {
            {Survivors::all, 0}, {Survivors::torn, 0}, {Survivors::synced, 0}};
        for (std::uint32_t seed = 1; seed <= 4; ++seed) {
            fates.emplace_back(Survivors::random, seed);
        }
        for (const auto& [survivors, seed] : fates) {
            SCOPED_TRACE(door.describe(cut) + ", survivors " + std::to_string(static_cast<int>(survivors)));
            door.materialise(cut, survivors, left.path(), seed);
            const std::string lying = read_file(left / "device");
            const bool in_between = lying != before && lying != after;
            ASSERT_NO_THROW(copied += finish(left));
            const std::string finished = read_file(left / "device");
            ASSERT_TRUE(finished == after || (finished == before && !in_between));
            old_ones += finished == before;
            EXPECT_EQ(names_in(left.path()), std::set<std::string>{"device"});
        }
    }
    EXPECT_GT(old_ones, 10);
    EXPECT_GT(copied, 10);
}

TEST_F(DeviceWorkTest, AFailureIsToldAndFinishedByTheNextRun) {
    int in_between = 0;
    for (const bool sync : {false, true}) {
        bool failed = true;
        for (std::size_t number = 1; failed; ++number) {
            SCOPED_TRACE(testing::Message() << (sync ? "sync " : "change ") << number << " fails");
            make();
            RecordingDoor door(folder.path());
            sync ? door.fail_sync(number, EIO) : door.fail_change(number, number % 2 ? ENOSPC : EIO);
            std::string sentence;
            const int exit = exit_of([&] { change({door, real_doors().processes}); }, &sentence);
            failed = door.failed();
            const std::string lying = read_file(folder / "device");
            if (lying != before && lying != after) {
                ++in_between;
                EXPECT_THAT(sentence, testing::HasSubstr("not to be used now"));
            }
            EXPECT_TRUE(exit != 0 || lying == after);
            finish(folder);
            const std::string finished = read_file(folder / "device");
            ASSERT_TRUE(finished == after || (finished == before && lying == before));
            EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"device"});
        }
    }
    EXPECT_GT(in_between, 2);
}

TEST_F(DeviceWorkTest, ADeviceThatWasUsedSinceIsLeftAlone) {
    for (const std::uint64_t at : {2 * cluster_bytes + 512, 3 * cluster_bytes + 5'000}) {
        make();
        TemporaryFolder left;
        kill_in_the_copy(left, 2);
        EXPECT_NE(read_file(left / "device"), after);
        real_doors().files.open(left / "device", {.write = true})->write(at, bytes_of("mounted since"));
        const std::string used = read_file(left / "device");
        try {
            finish(left);
            ADD_FAILURE();
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::recovery);
            EXPECT_THAT(error.what(), testing::HasSubstr("written to since"));
        }
        EXPECT_EQ(read_file(left / "device"), used);
        // A new content needs none of it.
        const auto device = real_doors().files.open(left / "device", {.write = true});
        forget_device_work(real_doors(), *device, left.path().string());
        EXPECT_EQ(names_in(left.path()), std::set<std::string>{"device"});
    }
}

TEST_F(DeviceWorkTest, WhatItDoesNotChangeMayBeUsedMeanwhile) {
    TemporaryFolder left;
    kill_in_the_copy(left, 2);
    real_doors().files.open(left / "device", {.write = true})->write(15 * cluster_bytes, bytes_of("else"));
    EXPECT_TRUE(finish(left));
    EXPECT_EQ(read_file(left / "device"), after.replace(15 * cluster_bytes, 4, "else"));
}

TEST_F(DeviceWorkTest, AnotherDeviceHasNothingToDoWithIt) {
    TemporaryFolder left;
    kill_in_the_copy(left, 2);
    const auto other = real_doors().files.open(left / "device", {.write = true});
    other->write(512 + 56, bytes_of("fedcba9876543210"));
    const std::string content = read_file(left / "device");
    EXPECT_FALSE(finish(left));
    other->write(512 + 56, bytes_of("0123456789abcdef"));
    other->truncate(device_size + 512);
    EXPECT_FALSE(finish(left));
    other->truncate(device_size);
    EXPECT_TRUE(device_work_left(real_doors(), *other, left.path().string()));
    EXPECT_TRUE(finish(left));
}

TEST_F(DeviceWorkTest, AFileThatIsNoneOfOursIsNotFollowed) {
    TemporaryFolder left;
    kill_in_the_copy(left, 2);
    const auto device = real_doors().files.open(left / "device", {.write = true});
    const std::string redo = *device_work_left(real_doors(), *device, left.path().string());
    const std::string content = read_file(left / "device");
    const auto code = [&] {
        try {
            finish(left);
        } catch (const Error& error) {
            return error.code();
        }
        return ErrorCode::failure;
    };
    const std::string kept = read_file(redo);
    write_file(redo, "rubbish");
    EXPECT_EQ(code(), ErrorCode::recovery);
    std::filesystem::remove(redo);
    std::filesystem::create_symlink("/etc/passwd", redo);
    EXPECT_EQ(code(), ErrorCode::recovery);
    std::filesystem::remove(redo);
    make_delta(redo, {.clusters = {1}, .letter = 'q', .disk_clusters = 40});
    EXPECT_EQ(code(), ErrorCode::recovery);
    EXPECT_EQ(read_file(left / "device"), content);
    write_file(redo, kept);
    EXPECT_TRUE(finish(left));
}

TEST_F(DeviceWorkTest, WhereTheTableEndsEarlierTheOldBackupGoes) {
    std::string content = read_file(folder / "device");
    content.replace(device_size - 512, 8, "EFI PART");
    write_file(folder / "device", content);
    const auto device = real_doors().files.open(folder / "device", {.write = true});
    DeviceWork work(real_doors(), *device, folder.path().string(), device_size);
    WorkCommit commit;
    commit.size = 10 * cluster_bytes;
    work.commit(commit);
    const std::string now = read_file(folder / "device");
    EXPECT_EQ(now.size(), device_size);
    EXPECT_TRUE(all_zero(bytes_of(now).subspan(device_size - 512)));
    EXPECT_EQ(now.substr(0, device_size - 512), content.substr(0, device_size - 512));
}

TEST_F(DeviceWorkTest, RefusesWhatItCouldNotKnowAgain) {
    write_file(folder / "device", std::string(device_size, 'x'));
    const auto device = real_doors().files.open(folder / "device", {.write = true});
    try {
        DeviceWork work(real_doors(), *device, folder.path().string(), device_size);
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.reason(), Reason::no_partition_table);
    }
    EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"device"});
}

TEST_F(DeviceWorkTest, KnowsADeviceByWhatLiesOnIt) {
    const auto mark_with = [&](std::uint64_t at, const std::string& magic, std::uint64_t id_at) {
        std::string content(device_size, '\0');
        content.replace(at, magic.size(), magic);
        content.replace(id_at, 4, "ABCD");
        write_file(folder / "device", content);
        return device_mark(*real_doors().files.open(folder / "device", {})).value_or("none");
    };
    EXPECT_THAT(mark_with(device_size - 512, "EFI PART", device_size - 512 + 56),
                testing::StartsWith("gpt-41424344"));
    EXPECT_THAT(mark_with(510, "\x55\xaa", 440), testing::StartsWith("mbr-41424344-"));
    EXPECT_THAT(mark_with(1024 + 56, "\x53\xef", 1024 + 104), testing::StartsWith("ext-41424344"));
    EXPECT_THAT(mark_with(0, "XFSB", 32), testing::StartsWith("xfs-41424344"));
    EXPECT_THAT(mark_with(65536 + 64, "_BHRfS_M", 65536 + 32), testing::StartsWith("btrfs-41424344"));
    EXPECT_EQ(mark_with(0, "nothing", 32), "none");
}

} // namespace

} // namespace disktool::ploop::operations_test
