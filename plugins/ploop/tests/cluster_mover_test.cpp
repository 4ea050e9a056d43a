// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cluster_mover.h"
#include "made_delta.h"
#include "support/recording_door.h"

#include <gmock/gmock.h>

#include <random>

namespace disktool::ploop::engine_test {
namespace {

using disktool::test::RecordingDoor;
using disktool::test::TemporaryFolder;
using testing::HasSubstr;

constexpr std::uint64_t all = 400;

/// Every third cluster of the target is there already; the source has all.
class ClusterMoverTest : public testing::Test {
  protected:
    ClusterMoverTest() {
        make_file(door_, folder_ / "source", small_delta(all));
        make_file(door_, folder_ / "target", small_delta(all));
        content_ = pattern(all * cluster, 5);
        const auto source = open_file(door_, folder_ / "source");
        source->begin();
        // In an order in which few are neighbours in the file.
        std::vector<std::uint64_t> order(all);
        for (std::uint64_t i = 0; i < all; ++i) {
            order[i] = i;
        }
        std::shuffle(order.begin(), order.end(), std::mt19937(3));
        for (const std::uint64_t i : order) {
            source->allocate(i, std::span(content_).subspan(i * cluster, cluster));
        }
        source->end();
        const auto target = open_file(door_, folder_ / "target");
        target->begin();
        for (std::uint64_t i = 0; i < all; i += 3) {
            target->allocate(i, pattern(cluster, 9));
        }
        target->end();
    }

    void move_all(const Delta& source, Delta& target) {
        ClusterMover mover(target, [&](std::uint64_t clusters) { told_ += clusters; });
        for (std::uint64_t i = 0; i < all;) {
            const std::uint64_t count = std::min(source.run(i, all - i), target.run(i, all - i));
            mover.move(source, i, count);
            i += count;
        }
        mover.finish();
    }

    TemporaryFolder folder_;
    RecordingDoor door_{folder_.path()};
    Bytes content_;
    std::uint64_t told_ = 0;
};

TEST_F(ClusterMoverTest, MovesAll) {
    const auto source = open_file(door_, folder_ / "source", Access::read);
    const auto target = open_file(door_, folder_ / "target");
    target->begin();
    move_all(*source, *target);
    EXPECT_EQ(told_, all);
    target->end();
    EXPECT_TRUE(content_by_qemu(folder_ / "target") == content_);
    EXPECT_EQ(complaints_by_qemu(folder_ / "target"), "");
    EXPECT_TRUE(content_by_qemu(folder_ / "source") == content_);
}

// Whatever fails, the target refers to nothing that was not written, and its other places are free again.
TEST_F(ClusterMoverTest, AFailureLeavesNothingHalf) {
    for (std::size_t number = 1; number < 240; number += 13) {
        const auto source = open_file(door_, folder_ / "source", Access::read);
        const auto target = open_file(door_, folder_ / "target");
        target->begin();
        const std::uint64_t before = target->allocated_clusters();
        door_.fail_change(number, EIO);
        EXPECT_THAT(refusal([&] { move_all(*source, *target); }, ErrorCode::failure),
                    HasSubstr("of target: Input/output error"));
        EXPECT_TRUE(door_.failed());
        std::uint64_t moved = 0;
        for (std::uint64_t i = 0; i < all; ++i) {
            if (i % 3 != 0 && target->place(i)) {
                ++moved;
                Bytes read(cluster);
                target->read(i * cluster, read);
                EXPECT_TRUE(std::ranges::equal(read, std::span(content_).subspan(i * cluster, cluster)));
            }
        }
        EXPECT_LT(moved, all - before);
        EXPECT_EQ(target->allocated_clusters(), before + moved);
        target->free(0, all);
        target->end();
        EXPECT_EQ(complaints_by_qemu(folder_ / "target"), "");
        EXPECT_EQ(target->holes().size(), 0U);
        // As it was, for the next round.
        target->begin();
        for (std::uint64_t i = 0; i < all; i += 3) {
            target->allocate(i, pattern(cluster, 9));
        }
        target->end();
    }
}

TEST_F(ClusterMoverTest, ASourceThatCannotBeReadIsTold) {
    auto content = std::make_shared<Bytes>(stored(folder_ / "source"));
    const auto source = opened(content, Access::read);
    const auto target = open_file(door_, folder_ / "target");
    target->begin();
    content->resize(content->size() / 2); // somebody has cut it meanwhile
    EXPECT_THAT(refusal([&] { move_all(*source, *target); }), HasSubstr("ends at"));
    target->end();
    EXPECT_EQ(complaints_by_qemu(folder_ / "target"), "");
}

} // namespace
} // namespace disktool::ploop::engine_test
