// SPDX-License-Identifier: LGPL-2.1-or-later
// Every verb, killed and failing at each of its changes.
#include "judge.h"
#include "support/crash_states.h"
#include "support/run.h"

#include <disktool/error.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

namespace fs = std::filesystem;

namespace disktool::test {

namespace {

/// More are not told of: the first ones say what is wrong.
constexpr int most_failures = 5;

/// Programs of the host write to nothing but the view that we serve, with one exception: qemu-img create.
class NoticingDoor final : public ProcessDoor {
  public:
    explicit NoticingDoor(RecordingDoor& files) : files_(files) {}
    CommandResult run(const Command& command) override {
        CommandResult result = real_.run(command);
        files_.notice_new_files();
        return result;
    }
    std::unique_ptr<Process> start(const Command& command) override { return real_.start(command); }

  private:
    RecordingDoor& files_;
    ProcessDoor& real_ = real_doors().processes;
};

class Verb : public testing::TestWithParam<Scenario> {
  protected:
    void SetUp() override {
        GetParam().make(folder.path(), notes.path());
        restore(before.path(), folder.path());
    }

    static void restore(const fs::path& target, const fs::path& source) {
        for (const auto& entry : fs::directory_iterator(target)) {
            fs::remove_all(entry.path());
        }
        run_tool({"cp", "-a", "--", (source / ".").string(), target.string()});
    }

    bool told_enough() const {
        const auto* result = testing::UnitTest::GetInstance()->current_test_info()->result();
        return result->total_part_count() >= most_failures;
    }

    TemporaryFolder folder; ///< the verb works here
    TemporaryFolder notes;
    TemporaryFolder before;
    TemporaryFolder left; ///< what a crash leaves
};

/// Every moment; of a long run as many as it must be, evenly spread, with all around syncs and names.
std::vector<std::size_t> chosen_cuts(const RecordingDoor& door) {
    const std::size_t most = long_form() ? 500 : 200;
    std::vector<std::size_t> cuts = door.cuts();
    if (cuts.size() <= most) {
        return cuts;
    }
    std::set<std::size_t> chosen;
    for (std::size_t i = 0; i < door.changes().size(); ++i) {
        const ChangeKind kind = door.changes()[i].kind;
        if (kind != ChangeKind::write) {
            for (std::size_t cut : {i, i + 1, i + 2}) {
                chosen.insert(std::min(cut, door.changes().size()));
            }
        }
    }
    for (std::size_t i = 0; i < most; ++i) {
        chosen.insert(i * cuts.size() / most);
    }
    return {chosen.begin(), chosen.end()};
}

TEST_P(Verb, CutAnywhereLeavesOldOrNew) {
    const Scenario& scenario = GetParam();
    RecordingDoor door(folder.path());
    NoticingDoor processes(door);
    scenario.run({door, processes}, folder / top_name);
    ASSERT_NO_THROW(scenario.verify(folder / top_name, notes.path(), false));
    Judge judge(scenario, before.path(), folder.path(), notes.path());

    CrashStates states(door);
    std::set<std::uint64_t> seen;
    const std::vector<std::size_t> cuts = chosen_cuts(door);
    std::size_t run_again = 0;
    for (const std::size_t cut : cuts) {
        SCOPED_TRACE(door.describe(cut));
        states.advance(cut);
        const auto look = [&](Survivors survivors, std::uint32_t seed) {
            const FolderState state = states.state(survivors, seed);
            if (!seen.insert(state.signature()).second) {
                return;
            }
            SCOPED_TRACE(testing::Message() << "survivors " << static_cast<int>(survivors) << " " << seed);
            states.store(state, left.path());
            judge.as_it_lies(left.path());
            judge.after_recovery(left.path());
            const std::size_t every = scenario.uses_programs ? 97 : 5;
            if (run_again++ % every == 0) {
                judge.after_another_run(left.path());
            }
        };
        look(Survivors::all, 0);
        look(Survivors::torn, 0);
        look(Survivors::synced, 0);
        look(Survivors::random, 1);
        look(Survivors::random, 2);
        if (told_enough()) {
            break;
        }
    }
    if (judge.guest_sees_change()) {
        EXPECT_GT(judge.old_ones(), 0u);
        EXPECT_GT(judge.new_ones(), 0u);
    }
    std::printf("%zu changes, %zu cuts, %zu states\n", door.changes().size(), cuts.size(), seen.size());
}

TEST_P(Verb, FailingAnywhereLeavesOldOrNew) {
    const Scenario& scenario = GetParam();
    std::size_t changes = 0;
    {
        RecordingDoor door(folder.path());
        NoticingDoor processes(door);
        scenario.run({door, processes}, folder / top_name);
        changes = door.changes().size();
    }
    Judge judge(scenario, before.path(), folder.path(), notes.path());
    judge.other_runs();
    const auto fail = [&](std::size_t number, bool sync) {
        restore(folder.path(), before.path());
        const int error_number = sync ? EIO : number % 2 ? ENOSPC : EIO;
        SCOPED_TRACE(testing::Message()
                     << (sync ? "sync " : "change ") << number << " fails with " << error_number);
        RecordingDoor door(folder.path());
        sync ? door.fail_sync(number, error_number) : door.fail_change(number, error_number);
        bool finished = false;
        try {
            NoticingDoor processes(door);
            scenario.run({door, processes}, folder / top_name);
            finished = true;
        } catch (const Error&) {
            EXPECT_TRUE(door.failed());
        }
        judge.as_it_lies(folder.path());
        judge.after_recovery(folder.path(), finished || scenario.frees_in_stages);
        if (number % 16 == 1 || scenario.frees_in_stages) {
            judge.after_another_run(folder.path());
        }
        return door.failed();
    };
    // Programs write in many small pieces of much the same kind.
    const std::size_t most = scenario.uses_programs && !long_form() ? 40 : 10'000;
    const std::size_t step = std::max<std::size_t>(1, (changes + most - 1) / most);
    for (std::size_t number = 1; number <= changes && !told_enough(); number += step) {
        fail(number, false);
    }
    for (std::size_t number = 1; !told_enough() && fail(number, true); ++number) {
    }
}

INSTANTIATE_TEST_SUITE_P(Resize, Verb, testing::ValuesIn(resize_scenarios()),
                         [](const auto& scenario) { return scenario.param.name; });
INSTANTIATE_TEST_SUITE_P(Merge, Verb, testing::ValuesIn(merge_scenarios()),
                         [](const auto& scenario) { return scenario.param.name; });
INSTANTIATE_TEST_SUITE_P(Convert, Verb, testing::ValuesIn(convert_scenarios()),
                         [](const auto& scenario) { return scenario.param.name; });

} // namespace

} // namespace disktool::test
