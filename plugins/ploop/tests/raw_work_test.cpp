// SPDX-License-Identifier: LGPL-2.1-or-later
// A raw disk gets a new state: killed and failing at each change, and what others do meanwhile.
#include "left_over.h"
#include "made_disk.h"
#include "raw_work.h"

#include <disktool/size.h>

#include <algorithm>
#include <cerrno>
#include <random>

namespace disktool::ploop::operations_test {

namespace {

using disktool::test::read_file;
using disktool::test::RecordingDoor;
using disktool::test::Survivors;
using disktool::test::write_file;

/// What is done to a raw disk of 16 clusters that holds r0 r1 r2 ... in some of them.
struct Change {
    std::string name;
    std::uint64_t clusters = 16; ///< afterwards
    std::vector<std::uint64_t> written{};
    std::vector<std::uint64_t> zeroed{};
    bool sparse = false; ///< what holds nothing is a hole of the file
    bool reserve = false;

    friend void PrintTo(const Change& change, std::ostream* out) { *out << change.name; }
};

const MadeDelta raw_disk = {.clusters = {0, 1, 2, 5, 9, 14, 15}, .letter = 'r', .raw = true};

std::string make_raw(const std::filesystem::path& folder, bool sparse) {
    const std::string path = make_chain(folder, {raw_disk});
    if (sparse) {
        const auto file = real_doors().files.open((folder / "root.hds").string(), {.write = true});
        file->punch_hole({3 * cluster_bytes, 2 * cluster_bytes});
        file->punch_hole({10 * cluster_bytes, 4 * cluster_bytes});
    }
    return path;
}

void carry_out(const Change& change, const std::string& path, Doors doors) {
    const auto opened = open_disk(path, doors);
    const std::uint64_t size = std::max<std::uint64_t>(16, change.clusters) * cluster_bytes;
    RawWork work(*opened.disk, size, {});
    for (const std::uint64_t number : change.written) {
        work.write(number * cluster_bytes, bytes_of(cluster_of('w', number)));
    }
    for (const std::uint64_t number : change.zeroed) {
        work.discard({number * cluster_bytes, cluster_bytes});
    }
    WorkCommit commit;
    commit.size = change.clusters * cluster_bytes;
    commit.reserve = change.reserve;
    work.commit(commit);
}

class RawWorkCrash : public testing::TestWithParam<Change> {
  protected:
    void SetUp() override { fresh(); }

    void fresh() {
        for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
            std::filesystem::remove_all(entry.path());
        }
        path = make_raw(folder.path(), GetParam().sparse);
        before = letters_at(path, Uuid::top());
        after = before.substr(0, GetParam().clusters);
        after.resize(GetParam().clusters, '.');
        for (const std::uint64_t number : GetParam().written) {
            if (number < after.size()) {
                after[number] = 'w';
            }
        }
        for (const std::uint64_t number : GetParam().zeroed) {
            after[number] = '.';
        }
    }

    /// Reads as one of the two before anything is put right and afterwards; and it is the same one.
    void judge(const std::string& descriptor) {
        const std::string lying = letters_at(descriptor, Uuid::top());
        ASSERT_TRUE(lying == before || lying == after) << lying;
        (lying == after ? new_ones : old_ones)++;
        in_between += Descriptor::load(real_doors().files, descriptor).images.size() > 1;
        const auto opened = open_disk(descriptor);
        EXPECT_EQ(letters_at(descriptor, Uuid::top()), lying);
        EXPECT_EQ(opened.disk->descriptor.images.size(), 1u);
        EXPECT_TRUE(opened.disk->descriptor.images.front().raw);
        EXPECT_EQ(std::filesystem::file_size(std::filesystem::path(descriptor).parent_path() / "root.hds"),
                  lying.size() * cluster_bytes);
        expect_tidy(descriptor);
    }

    void cut_everywhere(const RecordingDoor& door, const std::function<void(const std::string&)>& look) {
        TemporaryFolder left;
        std::set<std::uint64_t> seen;
        for (const std::size_t cut : door.cuts()) {
            std::vector<std::pair<Survivors, std::uint32_t>> fates = {
                {Survivors::all, 0}, {Survivors::torn, 0}, {Survivors::synced, 0}};
            for (std::uint32_t seed = 1; seed <= 3; ++seed) {
                fates.emplace_back(Survivors::random, seed);
            }
            for (const auto& [survivors, seed] : fates) {
                SCOPED_TRACE(door.describe(cut) + ", survivors " + std::to_string(static_cast<int>(survivors)));
                const auto state = door.left_by(cut, survivors, seed);
                if (!seen.insert(state.signature()).second) {
                    continue;
                }
                door.put(state, left.path());
                look(left / "DiskDescriptor.xml");
                if (HasFatalFailure()) {
                    return;
                }
            }
        }
    }

    TemporaryFolder folder;
    std::string path, before, after;
    int old_ones = 0, new_ones = 0, in_between = 0;
};

TEST_P(RawWorkCrash, ACutLeavesTheOldDiskOrTheNewOne) {
    RecordingDoor door(folder.path());
    carry_out(GetParam(), path, {door, real_doors().processes});
    EXPECT_EQ(letters_at(path, Uuid::top()), after);
    expect_tidy(path);
    cut_everywhere(door, [&](const std::string& descriptor) { judge(descriptor); });
    EXPECT_GT(old_ones, 5);
    EXPECT_GT(new_ones, 5);
    EXPECT_GT(in_between, 2);
}

TEST_P(RawWorkCrash, SoDoesACutOfTheRunThatFinishes) {
    TemporaryFolder stopped;
    {
        // The last moment at which the disk lies in two files and the raw one is as it was.
        RecordingDoor door(folder.path());
        carry_out(GetParam(), path, {door, real_doors().processes});
        const auto& changes = door.changes();
        std::size_t cut = 0;
        for (std::size_t i = 0; i < changes.size(); ++i) {
            if (changes[i].kind == disktool::test::ChangeKind::rename) {
                cut = i + 1;
                break;
            }
        }
        ASSERT_GT(cut, 0u);
        door.materialise(cut, Survivors::all, stopped.path());
    }
    ASSERT_EQ(Descriptor::load(real_doors().files, stopped / "DiskDescriptor.xml").images.size(), 2u);
    RecordingDoor door(stopped.path());
    open_disk(stopped / "DiskDescriptor.xml", {door, real_doors().processes});
    // The descriptor may not have been safe when the first run was killed.
    const auto& changes = door.changes();
    const auto first_sync =
        std::ranges::find(changes, disktool::test::ChangeKind::sync_directory, &disktool::test::Change::kind);
    const auto first_of_raw = std::ranges::find(changes, "root.hds", &disktool::test::Change::path);
    EXPECT_LT(first_sync - changes.begin(), first_of_raw - changes.begin());
    cut_everywhere(door, [&](const std::string& descriptor) { judge(descriptor); });
    EXPECT_GT(new_ones, 5);
}

TEST_P(RawWorkCrash, AFailureLeavesTheOldDiskOrTheNewOne) {
    for (const bool sync : {false, true}) {
        bool failed = true;
        for (std::size_t number = 1; failed; ++number) {
            SCOPED_TRACE(testing::Message() << (sync ? "sync " : "change ") << number << " fails");
            fresh();
            RecordingDoor door(folder.path());
            sync ? door.fail_sync(number, EIO) : door.fail_change(number, number % 2 ? ENOSPC : EIO);
            bool threw = false;
            try {
                carry_out(GetParam(), path, {door, real_doors().processes});
            } catch (const Error& error) {
                threw = true;
                EXPECT_TRUE(door.failed()) << error.what();
                if (std::string(error.what()).find("is the new disk already") != std::string::npos) {
                    EXPECT_EQ(letters_at(path, Uuid::top()), after);
                }
            }
            failed = door.failed();
            EXPECT_TRUE(threw || !failed || letters_at(path, Uuid::top()) == after);
            judge(path);
            if (HasFatalFailure()) {
                return;
            }
        }
    }
    EXPECT_GT(old_ones, 5);
    EXPECT_GT(new_ones, 2);
}

INSTANTIATE_TEST_SUITE_P(, RawWorkCrash,
                         testing::Values(Change{"grow", 24, {0, 3, 9, 20}, {}},
                                         Change{"shrink", 10, {0, 3, 4, 9}, {2}},
                                         Change{"stays", 16, {0, 3, 15}, {5, 6}},
                                         Change{"grow_sparse", 24, {0, 3, 12, 20}, {9}, true},
                                         Change{"shrink_sparse", 12, {3, 10}, {9}, true},
                                         Change{"reserve", 20, {0, 12}, {}, true, true},
                                         Change{"size_only", 24}, Change{"cut_only", 6}),
                         [](const auto& change) { return change.param.name; });

class RawWorkDisk : public testing::Test {
  protected:
    void SetUp() override { path = make_raw(folder.path(), false); }

    /// A disk whose run was killed when the descriptor had switched: 'w' in cluster 3, 20 clusters.
    void kill_in_between() {
        TemporaryFolder copy;
        RecordingDoor door(folder.path());
        carry_out({"", 20, {3}}, path, {door, real_doors().processes});
        for (const std::size_t cut : door.cuts()) {
            door.materialise(cut, Survivors::all, copy.path());
            if (Descriptor::load(real_doors().files, copy / "DiskDescriptor.xml").images.size() == 2) {
                break;
            }
        }
        for (const std::string& name : names_in(copy.path())) {
            std::filesystem::copy_file(copy / name, folder / name,
                                       std::filesystem::copy_options::overwrite_existing);
        }
        ASSERT_EQ(Descriptor::load(real_doors().files, path).images.size(), 2u);
    }

    TemporaryFolder folder;
    std::string path;
};

TEST_F(RawWorkDisk, ReadsAsPlainBytesDo) {
    std::mt19937 random(7);
    std::vector<std::byte> model(24 * cluster_bytes);
    const std::string old = read_file(folder / "root.hds");
    std::ranges::copy(bytes_of(old), model.begin());
    {
        const auto opened = open_disk(path);
        RawWork work(*opened.disk, model.size(), {});
        for (int i = 0; i < 2'000; ++i) {
            const std::uint64_t offset = random() % (model.size() / 512) * 512;
            const std::uint64_t length =
                std::min<std::uint64_t>(model.size() - offset, (1 + random() % 160) * 512);
            const auto there = std::span(model).subspan(offset, length);
            switch (random() % 4) {
            case 0:
                std::ranges::fill(there, std::byte{0});
                work.zero({offset, length});
                break;
            case 1:
                std::generate(there.begin(), there.end(),
                              [&] { return static_cast<std::byte>(random() % 5 != 0 ? 0 : random()); });
                work.write(offset, there);
                break;
            case 2: {
                work.discard({offset, length});
                const std::uint64_t first = round_up(offset, cluster_bytes);
                const std::uint64_t end = round_down(offset + length, cluster_bytes);
                if (first < end) {
                    std::ranges::fill(std::span(model).subspan(first, end - first), std::byte{0});
                }
                break;
            }
            default: {
                std::vector<std::byte> got(length);
                work.read(offset, got);
                ASSERT_TRUE(std::ranges::equal(got, there)) << offset;
            }
            }
        }
        std::uint64_t end = 0;
        for (const Extent& extent : work.extents({0, model.size()})) {
            EXPECT_EQ(extent.range.offset, end);
            end = extent.range.end();
            if (extent.kind != ExtentKind::data) {
                EXPECT_TRUE(all_zero(std::span(model).subspan(extent.range.offset, extent.range.length)));
            }
        }
        EXPECT_EQ(end, model.size());
        EXPECT_EQ(read_file(folder / "root.hds"), old);
        WorkCommit commit;
        commit.size = model.size();
        work.commit(commit);
    }
    EXPECT_TRUE(std::ranges::equal(bytes_of(read_file(folder / "root.hds")), model));
    EXPECT_EQ(names_in(folder.path()),
              (std::set<std::string>{"DiskDescriptor.xml", "DiskDescriptor.xml.lck", "root.hds"}));
}

TEST_F(RawWorkDisk, ZerosTakeNoPlaceWhereThereAreZeros) {
    const auto opened = open_disk(path);
    real_doors()
        .files.open(folder / "root.hds", {.write = true})
        ->punch_hole({10 * cluster_bytes, cluster_bytes});
    RawWork work(*opened.disk, 40 * cluster_bytes, {});
    const std::vector<std::byte> zeros(4 * cluster_bytes);
    work.write(30 * cluster_bytes, zeros);
    work.zero({10 * cluster_bytes, cluster_bytes});
    EXPECT_EQ(work.space_taken(), 0u);
    work.write(9 * cluster_bytes, zeros);
    EXPECT_EQ(work.space_taken(), 3 * cluster_bytes); // 9, 11 and 12 are stored
}

TEST_F(RawWorkDisk, AbandonedLeavesNothing) {
    const std::string old = read_file(folder / "root.hds");
    const std::string text = read_file(path);
    {
        const auto opened = open_disk(path);
        RawWork work(*opened.disk, 20 * cluster_bytes, {});
        work.write(0, bytes_of(cluster_of('w', 0)));
        EXPECT_EQ(letters_at(path, Uuid::top()), "rrr..r...r....rr");
    }
    EXPECT_EQ(read_file(folder / "root.hds"), old);
    EXPECT_EQ(read_file(path), text);
    expect_tidy(path);
}

TEST_F(RawWorkDisk, AFullHostFailsBeforeTheSwitch) {
    const auto run_with = [&](std::uint64_t space) {
        RecordingDoor door(folder.path());
        door.limit_space(space);
        carry_out({"", 40, {0, 1, 2, 3}}, path, {door, real_doors().processes});
    };
    for (std::uint64_t space = cluster_bytes / 2; space < 30 * cluster_bytes; space += cluster_bytes) {
        EXPECT_THROW(run_with(space), Error) << space;
        EXPECT_EQ(letters_at(path, Uuid::top()), "rrr..r...r....rr");
        expect_tidy(path);
    }
}

TEST_F(RawWorkDisk, AnOddLengthBecomesWholeClusters) {
    std::filesystem::resize_file(folder / "root.hds", 15 * cluster_bytes + 3 * 512 + 100);
    carry_out({"", 20, {18}}, path, real_doors());
    EXPECT_EQ(std::filesystem::file_size(folder / "root.hds"), 20 * cluster_bytes);
    const std::string content = read_file(folder / "root.hds");
    EXPECT_EQ(content.substr(15 * cluster_bytes, 3 * 512), cluster_of('r', 15).substr(0, 3 * 512));
    EXPECT_TRUE(all_zero(bytes_of(content).subspan(15 * cluster_bytes + 3 * 512, cluster_bytes - 3 * 512)));
    EXPECT_EQ(letters_of(content).substr(16), "..w.");
}

TEST_F(RawWorkDisk, WhatIsLargerThanADiskCanBeIsRefused) {
    const auto opened = open_disk(path);
    try {
        RawWork work(*opened.disk, std::uint64_t{1} << 60, {});
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::size_impossible);
    }
    expect_tidy(path);
}

TEST_F(RawWorkDisk, InBetweenItReadsAsOneDiskAndWaitsForNobody) {
    kill_in_between();
    DiskOptions options;
    options.access = Access::read;
    const auto disk = PloopDisk::open(real_doors(), path, options);
    EXPECT_EQ(disk->descriptor.images.size(), 2u); // who only reads changes nothing
    EXPECT_EQ(disk->descriptor.disk_sectors, 20 * small_cluster);
    EXPECT_TRUE(disk->descriptor.snapshots.front().temporary);
    EXPECT_EQ(letters_at(path, Uuid::top()), "rrrw.r...r....rr....");
}

TEST_F(RawWorkDisk, ASnapshotMadeInBetweenStays) {
    kill_in_between();
    // As the original would: it knows nothing of what we have begun.
    Descriptor descriptor = Descriptor::load(real_doors().files, path);
    make_delta(folder / "root.hds.above", {.clusters = {4}, .letter = 's', .disk_clusters = 20});
    descriptor.add_snapshot(uuid_of('1'), "root.hds.above");
    descriptor.store(real_doors().files, path);
    ASSERT_EQ(letters_at(path, Uuid::top()), "rrrwsr...r....rr....");
    const auto opened = open_disk(path);
    EXPECT_EQ(opened.disk->descriptor.images.size(), 2u);
    EXPECT_EQ(letters_at(path, Uuid::top()), "rrrwsr...r....rr....");
    EXPECT_EQ(letters_at(path, uuid_of('1')), "rrrw.r...r....rr....");
    EXPECT_FALSE(std::filesystem::exists(folder / "root.hds.disktool-work"));
}

TEST_F(RawWorkDisk, AMountedDeltaIsLeftAlone) {
    kill_in_between();
    const std::string work = folder / "root.hds.disktool-work";
    const auto delta = Delta::open(real_doors().files.open(work, {.write = true}), Access::write);
    delta->begin();
    delta->allocate(7, bytes_of(cluster_of('m', 7)));
    delta->flush();
    {
        const auto opened = open_disk(path);
        EXPECT_EQ(opened.disk->descriptor.images.size(), 2u);
        EXPECT_EQ(read_file(folder / "root.hds").size(), 16 * cluster_bytes);
    }
    delta->end();
    open_disk(path);
    EXPECT_EQ(letters_at(path, Uuid::top()), "rrrw.r.m.r....rr....");
    expect_tidy(path);
}

TEST_F(RawWorkDisk, AForeignFileWithTheUuidIsNoWork) {
    // Two snapshots on the raw file: which one should go into it?
    kill_in_between();
    Descriptor descriptor = Descriptor::load(real_doors().files, path);
    const Uuid base = descriptor.snapshots.front().uuid;
    make_delta(folder / "other", {.clusters = {4}, .letter = 's', .disk_clusters = 20});
    descriptor.set_temporary(base, false);
    descriptor.switch_to(base, "other", uuid_of('1'));
    descriptor.store(real_doors().files, path);
    const std::string old = read_file(folder / "root.hds");
    open_disk(path);
    EXPECT_EQ(read_file(folder / "root.hds"), old);
    EXPECT_EQ(letters_at(path, uuid_of('1')), "rrrw.r...r....rr....");
}

} // namespace

} // namespace disktool::ploop::operations_test
