// SPDX-License-Identifier: LGPL-2.1-or-later
// A repair that is killed, or loses its power, leaves no image that is worse than before.
#include "check_images.h"
#include "extension.h"
#include "support/recording_door.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <string>

namespace disktool::ploop::test {

namespace {

using disktool::test::ChangeKind;
using disktool::test::RecordingDoor;
using disktool::test::Survivors;
using disktool::test::TemporaryFolder;

class CheckCrash : public testing::Test {
  protected:
    TemporaryFolder folder;
    const std::string path = folder / "root.hds";

    /// Everything that `check -F` mends: copies, lost clusters, slots behind the device, a tail.
    static SmallImage broken(Version version) {
        SmallImage image(version);
        // The first copy comes where this entry points to, which is behind the end before.
        image.entries[50] = image.entry(6);
        image.entries[100] = image.entry(2);
        image.entries[150] = image.entry(2);
        image.entries[200] = image.entry(4);
        image.entries[319] = image.entry(9000);
        image.entries[400] = image.entry(3);
        return image;
    }

    void expect_no_worse(const SeenImage& before, const SeenImage& after) {
        for (const auto& [slot, value] : before.content) {
            const auto content = after.content.find(slot);
            if (slot >= 320) {
                continue; // not of the disk
            }
            ASSERT_TRUE(content != after.content.end()) << "slot " << slot;
            EXPECT_EQ(content->second, value) << "slot " << slot;
        }
        for (const auto& [slot, value] : after.content) {
            EXPECT_TRUE(before.content.contains(slot)) << "slot " << slot << " came from nowhere";
        }
        for (const auto& [slot, fault] : after.faults) {
            EXPECT_TRUE(before.faults.contains(slot)) << "slot " << slot << " is " << fault;
        }
        if (after.in_use != in_use_mark) {
            EXPECT_TRUE(after.faults.empty() || after.table == before.table) << "half mended, and not marked";
        }
    }

    void try_all_cuts(const SmallImage& image, const std::string& letters) {
        image.write(path);
        const SeenImage before = look_at(path);
        RecordingDoor door(folder.path());
        run_check(path, letters, door);
        const SeenImage mended = look_at(path);
        EXPECT_TRUE(mended.faults.empty());
        expect_no_worse(before, mended);
        const TemporaryFolder left;
        std::set<std::uint64_t> seen;
        for (const std::size_t cut : door.cuts()) {
            for (const Survivors survivors :
                 {Survivors::all, Survivors::torn, Survivors::synced, Survivors::random}) {
                for (std::uint32_t seed = 0; seed < (survivors == Survivors::random ? 2u : 1u); ++seed) {
                    SCOPED_TRACE(door.describe(cut) + ", survivors " +
                                 std::to_string(static_cast<int>(survivors)) + ", seed " +
                                 std::to_string(seed));
                    const auto state = door.left_by(cut, survivors, seed);
                    if (!seen.insert(state.signature()).second) {
                        continue;
                    }
                    door.put(state, left.path());
                    expect_no_worse(before, look_at(left / "root.hds"));
                    EXPECT_EQ(run_check(left / "root.hds", "Fcd").result.exit_code, 0);
                    const SeenImage again = look_at(left / "root.hds");
                    EXPECT_EQ(again.content, mended.content);
                    EXPECT_TRUE(again.faults.empty());
                    if (HasFailure()) {
                        return;
                    }
                }
            }
        }
        EXPECT_GT(door.cuts().size(), 5u);
    }
};

TEST_F(CheckCrash, OfACleanImage) {
    for (const Version version : {Version::v1, Version::v2}) {
        try_all_cuts(broken(version), "F");
    }
}

TEST_F(CheckCrash, OfADirtyImage) {
    SmallImage image = broken(Version::v2);
    image.header.in_use = in_use_mark;
    image.behind.assign(70'000, std::byte{0x11});
    try_all_cuts(image, "Fd");
}

TEST_F(CheckCrash, WithAnExtension) {
    SmallImage image = broken(Version::v2);
    image.entries.erase(50);
    image.header.in_use = closed_mark_v21;
    image.header.extension_sector = 6 * 64;
    image.behind = make_extension(image.header, *parse_bitmap_id("33333333-3333-3333-3333-333333333333"));
    try_all_cuts(image, "F");
}

TEST_F(CheckCrash, TheMarkComesFirstAndGoesLast) {
    broken(Version::v2).write(path);
    RecordingDoor door(folder.path());
    run_check(path, "F", door);
    const auto& changes = door.changes();
    ASSERT_GE(changes.size(), 4u);
    const auto is_header = [](const auto& change) {
        return change.kind == ChangeKind::write && change.range == Range{0, header_size};
    };
    EXPECT_TRUE(is_header(changes[0]));
    EXPECT_EQ(changes[1].kind, ChangeKind::sync);
    EXPECT_TRUE(is_header(changes[changes.size() - 2]));
    EXPECT_EQ(changes[changes.size() - 3].kind, ChangeKind::sync);
    EXPECT_EQ(changes.back().kind, ChangeKind::sync);
}

TEST_F(CheckCrash, ASoundImageIsNotWritten) {
    SmallImage image;
    image.write(path);
    RecordingDoor door(folder.path());
    run_check(path, "FcdS", door);
    EXPECT_TRUE(door.changes().empty());
    // Of a dirty one, only the header.
    image.header.in_use = in_use_mark;
    image.write(path);
    RecordingDoor second(folder.path());
    run_check(path, "Fcd", second);
    ASSERT_EQ(second.changes().size(), 2u);
    EXPECT_EQ(second.changes()[0].range, (Range{0, header_size}));
}

} // namespace

} // namespace disktool::ploop::test
