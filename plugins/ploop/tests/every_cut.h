// SPDX-License-Identifier: LGPL-2.1-or-later
// Work on files, killed and failing at each of its changes: for verbs that go without a descriptor, or come
// before there is one.
#pragma once

#include "made_disk.h"

#include <cerrno>
#include <filesystem>
#include <functional>
#include <set>
#include <string>

namespace disktool::ploop::operations_test {

using disktool::test::read_file;
using disktool::test::RecordingDoor;
using disktool::test::Survivors;

/// In an empty folder: `prepare` makes what there is before, `work` changes it, `judge` looks at what is left
/// (with expectations of GoogleTest) and may change it.
struct CutWork {
    std::function<void(const std::filesystem::path& folder)> prepare = [](const std::filesystem::path&) {};
    std::function<void(const std::filesystem::path& folder, Doors doors)> work;
    std::function<void(const std::filesystem::path& folder)> judge;
};

/// Killed between two changes, within one, and without power. Judges each state once; returns how many.
inline std::size_t try_all_cuts(const CutWork& what) {
    const TemporaryFolder folder;
    what.prepare(folder.path());
    RecordingDoor door(folder.path());
    what.work(folder.path(), {door, real_doors().processes});
    EXPECT_GT(door.changes().size(), 2u);
    const TemporaryFolder left;
    std::set<std::uint64_t> seen;
    for (const std::size_t cut : door.cuts()) {
        SCOPED_TRACE(door.describe(cut));
        const auto look = [&](Survivors survivors, std::uint32_t seed) {
            SCOPED_TRACE(testing::Message() << "survivors " << static_cast<int>(survivors) << " " << seed);
            const auto state = door.left_by(cut, survivors, seed);
            if (seen.insert(state.signature()).second) {
                door.put(state, left.path());
                what.judge(left.path());
            }
        };
        look(Survivors::all, 0);
        look(Survivors::torn, 0);
        look(Survivors::synced, 0);
        for (std::uint32_t seed = 0; seed < 3; ++seed) {
            look(Survivors::random, static_cast<std::uint32_t>(cut) + 1000 * seed);
        }
        if (testing::Test::HasFailure()) {
            break;
        }
    }
    return seen.size();
}

/// Each change and each sync fails once. Returns how often something has failed.
inline unsigned try_all_failures(const CutWork& what) {
    unsigned failures = 0;
    for (const bool sync : {false, true}) {
        bool failed = true;
        for (std::size_t number = 1; failed && !testing::Test::HasFailure(); ++number) {
            SCOPED_TRACE(testing::Message() << (sync ? "sync " : "change ") << number << " fails");
            const TemporaryFolder folder;
            what.prepare(folder.path());
            RecordingDoor door(folder.path());
            sync ? door.fail_sync(number, EIO) : door.fail_change(number, number % 2 != 0 ? ENOSPC : EIO);
            try {
                what.work(folder.path(), {door, real_doors().processes});
                EXPECT_FALSE(sync && door.failed()) << "nothing is safe, and nobody says so";
            } catch (const Error&) {
                EXPECT_TRUE(door.failed());
            }
            failed = door.failed();
            failures += failed ? 1 : 0;
            what.judge(folder.path());
        }
    }
    return failures;
}

} // namespace disktool::ploop::operations_test
