// SPDX-License-Identifier: LGPL-2.1-or-later
// Every verb, killed and failing at each of its changes: the old disk or the new one, and nothing left over.
#include "copied_job.h"
#include "left_over.h"
#include "made_disk.h"

#include <algorithm>
#include <cerrno>

namespace disktool::ploop::operations_test {

namespace {

using disktool::test::hasty_doors;
using disktool::test::read_file;
using disktool::test::RecordingDoor;
using disktool::test::Survivors;

struct Verb {
    std::string name;
    std::vector<MadeDelta> deltas;
    std::function<Plan(PloopDisk& disk, const std::string& folder)> plan;
    /// Snapshots that the verb takes away. From when it begins until the next run opens the disk their content
    /// may be of both states.
    std::vector<Uuid> going{};
    /// What is done to the disk before, all at once.
    std::function<void(const std::string& path)> prepare{};
    bool top_in_use = false; ///< before

    friend void PrintTo(const Verb& verb, std::ostream* out) { *out << verb.name; }
};

class OperationsCrash : public testing::TestWithParam<Verb> {
  protected:
    void SetUp() override { path = fresh(folder); }

    std::string fresh(const TemporaryFolder& where) {
        for (const auto& entry : std::filesystem::directory_iterator(where.path())) {
            std::filesystem::remove_all(entry.path());
        }
        const std::string made = make_chain(where.path(), GetParam().deltas);
        if (GetParam().prepare) {
            GetParam().prepare(made);
        }
        old_text = read_file(made);
        old = contents(made);
        return made;
    }

    static void run_verb(const std::string& descriptor_path, Doors doors = hasty_doors()) {
        const auto opened = open_disk(descriptor_path, doors);
        run(GetParam().plan(*opened.disk, directory_of(descriptor_path)), doors);
    }

    /// A uuid that the verb has drawn is another one each time.
    static Contents contents(const std::string& descriptor_path) {
        Contents result;
        for (const auto& [uuid, letters] : contents_of(descriptor_path)) {
            const bool known = uuid == Uuid::top().lower() || uuid.find(std::string(8, uuid[1])) == 1;
            result[known ? uuid : "drawn"] = letters;
        }
        return result;
    }

    bool is_old(const std::string& descriptor_path) { return read_file(descriptor_path) == old_text; }

    enum class Going { any, exact };
    /// Of the old descriptor or of the new one.
    void expect_content(const std::string& descriptor_path, Going going_ones) {
        const Contents now = contents(descriptor_path);
        const Contents& expected = is_old(descriptor_path) ? old : fresh_new;
        ASSERT_EQ(now.size(), expected.size());
        for (const auto& [uuid, letters] : expected) {
            ASSERT_TRUE(now.contains(uuid));
            const bool goes =
                going_ones == Going::any && is_old(descriptor_path) &&
                std::ranges::any_of(GetParam().going, [&](const Uuid& one) { return one.lower() == uuid; });
            // A disk that grows may have its new size before the descriptor says so.
            const auto other = fresh_new.find(uuid);
            const bool grown = is_old(descriptor_path) && other != fresh_new.end() &&
                               other->second == now.at(uuid) && other->second.starts_with(letters);
            EXPECT_TRUE(goes || grown || now.at(uuid) == letters)
                << uuid << " holds " << now.at(uuid) << " instead of " << letters;
        }
    }

    void judge(const std::string& descriptor_path) {
        expect_content(descriptor_path, Going::any);
        ASSERT_NO_THROW(open_disk(descriptor_path));
        expect_content(descriptor_path, Going::exact);
        const bool was_old = is_old(descriptor_path);
        expect_tidy(descriptor_path, was_old && GetParam().top_in_use);
        (was_old ? old_ones : new_ones)++;
        if (was_old) {
            ASSERT_NO_THROW(run_verb(descriptor_path));
        }
        EXPECT_EQ(contents(descriptor_path), fresh_new);
        expect_tidy(descriptor_path);
    }

    /// What comes of the verb when nothing happens.
    void learn_new() {
        TemporaryFolder other;
        const std::string copy = fresh(other);
        run_verb(copy);
        fresh_new = contents(copy);
        ASSERT_NE(read_file(copy), old_text);
    }

    TemporaryFolder folder;
    std::string path;
    std::string old_text;
    Contents old, fresh_new;
    int old_ones = 0, new_ones = 0;
};

TEST_P(OperationsCrash, ACutLeavesTheOldDiskOrTheNewOne) {
    learn_new();
    RecordingDoor door(folder.path());
    run_verb(path, {door, real_doors().processes});
    ASSERT_GT(door.changes().size(), 4u);
    TemporaryFolder after;
    std::set<std::uint64_t> seen;
    for (const std::size_t cut : door.cuts()) {
        SCOPED_TRACE(door.describe(cut));
        const auto look = [&](Survivors survivors, std::uint32_t seed) {
            const auto left = door.left_by(cut, survivors, seed);
            if (!seen.insert(left.signature()).second) {
                return;
            }
            door.put(left, after.path());
            adopt_inodes(after.path());
            SCOPED_TRACE(testing::Message() << "survivors " << static_cast<int>(survivors) << " " << seed);
            judge(after / "DiskDescriptor.xml");
        };
        look(Survivors::all, 0);
        look(Survivors::torn, 0);
        look(Survivors::synced, 0);
        look(Survivors::random, static_cast<std::uint32_t>(cut));
        if (HasFatalFailure()) {
            return;
        }
    }
    EXPECT_GT(old_ones, 2);
    EXPECT_GT(new_ones, 0);
}

TEST_P(OperationsCrash, AFailureLeavesTheOldDiskOrTheNewOne) {
    learn_new();
    for (const bool sync : {false, true}) {
        bool failed = true;
        for (std::size_t number = 1; failed; ++number) {
            SCOPED_TRACE(testing::Message() << (sync ? "sync " : "change ") << number << " fails");
            path = fresh(folder);
            RecordingDoor door(folder.path());
            sync ? door.fail_sync(number, EIO) : door.fail_change(number, number % 2 ? ENOSPC : EIO);
            try {
                run_verb(path, {door, real_doors().processes});
            } catch (const Error&) {
                EXPECT_TRUE(door.failed());
            }
            failed = door.failed();
            judge(path);
            if (HasFatalFailure()) {
                return;
            }
        }
    }
    EXPECT_GT(old_ones, 2);
    EXPECT_GT(new_ones, 0);
}

/// The recovery itself is killed, too: it is the second cut that must leave nothing between.
TEST_P(OperationsCrash, ACutWithinTheRecovery) {
    learn_new();
    RecordingDoor door(folder.path());
    run_verb(path, {door, real_doors().processes});
    TemporaryFolder killed, after;
    for (std::size_t cut = 0; cut < door.cuts().size(); cut += 1 + door.cuts().size() / 6) {
        SCOPED_TRACE(door.describe(cut));
        door.materialise(cut, Survivors::random, killed.path(), static_cast<std::uint32_t>(cut));
        adopt_inodes(killed.path());
        RecordingDoor second(killed.path());
        ASSERT_NO_THROW(open_disk(killed / "DiskDescriptor.xml", {second, real_doors().processes}));
        std::set<std::uint64_t> seen;
        for (const std::size_t second_cut : second.cuts()) {
            SCOPED_TRACE(second.describe(second_cut));
            for (const Survivors survivors : {Survivors::torn, Survivors::synced}) {
                const auto left = second.left_by(second_cut, survivors);
                if (seen.insert(left.signature()).second) {
                    second.put(left, after.path());
                    adopt_inodes(after.path());
                    judge(after / "DiskDescriptor.xml");
                }
                if (HasFailure()) {
                    return;
                }
            }
        }
    }
}

const std::vector<MadeDelta> three = {{.clusters = {0, 1, 2}, .letter = 'a'},
                                      {.clusters = {1, 2, 3}, .letter = 'b'},
                                      {.clusters = {2, 3, 4}, .letter = 'c'}};

std::vector<Verb> verbs() {
    const auto merge = [](const MergeRequest& request) {
        return [request](PloopDisk& disk, const std::string&) { return plan_snapshot_merge(disk, request); };
    };
    std::vector<MadeDelta> raw = three;
    raw.front().raw = true;
    return {
        {"snapshot", three,
         [](PloopDisk& disk, const std::string&) {
             return plan_snapshot(disk, {.uuid = uuid_of('9'), .bitmap = {}});
         }},
        {"snapshot_of_a_dirty_top",
         three,
         [](PloopDisk& disk, const std::string&) {
             return plan_snapshot(disk, {.uuid = uuid_of('9'), .bitmap = {}});
         },
         {},
         [](const std::string& path) {
             const std::string top = directory_of(path) + "/root.hds.2";
             Delta::open(real_doors().files.open(top, {.write = true}), Access::write)->begin();
         },
         true},
        {"switch", three,
         [](PloopDisk& disk, const std::string&) {
             return plan_snapshot_switch(disk, {uuid_of('1'), false});
         }},
        {"switch_keeping_the_top", three,
         [](PloopDisk& disk, const std::string&) {
             return plan_snapshot_switch(disk, {uuid_of('1'), true});
         }},
        {"delete_top", three,
         [](PloopDisk& disk, const std::string&) { return plan_snapshot_delete(disk, Uuid::top()); }},
        {"delete_base",
         three,
         [](PloopDisk& disk, const std::string&) { return plan_snapshot_delete(disk, uuid_of('1')); },
         {uuid_of('1')}},
        {"merge_top", three, merge({}), {uuid_of('2')}},
        {"merge_all",
         three,
         merge({.uuid = {}, .range_end = {}, .all = true, .new_file = ""}),
         {uuid_of('1'), uuid_of('2')}},
        {"merge_into_raw",
         raw,
         merge({.uuid = {}, .range_end = {}, .all = true, .new_file = ""}),
         {uuid_of('1'), uuid_of('2')}},
        {"merge_new", three,
         [](PloopDisk& disk, const std::string& folder) {
             return plan_snapshot_merge(disk, {.uuid = {}, .range_end = {}, .new_file = folder + "/new.hds"});
         }},
        {"grow", three,
         [](PloopDisk& disk, const std::string&) { return plan_grow(disk, 8300 * small_cluster); }},
        {"grow_raw",
         {{.clusters = {0, 1}, .letter = 'r', .version = Version::v2, .raw = true}},
         [](PloopDisk& disk, const std::string&) { return plan_grow(disk, 20 * small_cluster); }},
    };
}

INSTANTIATE_TEST_SUITE_P(, OperationsCrash, testing::ValuesIn(verbs()),
                         [](const auto& verb) { return verb.param.name; });

} // namespace

} // namespace disktool::ploop::operations_test
