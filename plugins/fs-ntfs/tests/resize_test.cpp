// SPDX-License-Identifier: GPL-2.0-or-later
// The minimum is true: ntfsresize really shrinks to it, whatever is on the volume, and all files are the same.
#include "fake_bench.h"
#include "geometry.h"
#include "made_ntfs.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace disktool::ntfs::test {

namespace dt = disktool::test;

namespace {

/// The steps of the plan, as a job would run them. `made` is as large as the larger size.
std::vector<std::string> resize(const std::string& path, std::uint64_t old_size, std::uint64_t new_size) {
    Plan plan("resize", path);
    {
        Opened opened(path);
        opened->plan_resize(plan, {1, old_size, new_size});
    }
    FakeContext context(path);
    std::uint64_t work = 0;
    for (const auto& step : plan.steps()) {
        EXPECT_EQ(step->engine(), "native");
        EXPECT_FALSE(step->needs_no_undo().empty());
        EXPECT_NE(step->text().find("partition 1"), std::string::npos) << step->text();
        step->commit(context);
        work += step->cost().work();
    }
    EXPECT_EQ(context.advanced, work);
    return context.warnings;
}

void expect_resized(const MadeNtfs& made, std::uint64_t size, const std::string& contents) {
    std::filesystem::resize_file(made.path(), size); // the partition's new end
    expect_sound(made.path());
    EXPECT_EQ(contents_of(made.path()), contents);
    Opened opened(made.path());
    EXPECT_EQ(opened->state().reason, Reason::filesystem_dirty); // until chkdsk has run
    const FilesystemUsage usage = opened->usage();
    EXPECT_LE(usage.size, size);
    EXPECT_GT(usage.size + 2 * usage.block_size, size);
    // The backup boot sector is where it should be: behind the last cluster and at the partition's end.
    const std::uint64_t sector = OpenedVolume(made.path()).volume.boot().sector_size();
    EXPECT_EQ(made.read(0, 512), made.read(usage.size - sector, 512));
    EXPECT_EQ(made.read(0, 512), made.read(size / sector * sector - sector, 512));
    set_volume_flags(made.path(), 0);
    const Oracle oracle(made.path());
    EXPECT_EQ(Opened(made.path())->free_extents(), oracle.free);
}

void expect_refused(Filesystem& filesystem, std::uint64_t old_size, std::uint64_t new_size, Reason reason) {
    Plan plan("resize", "disk");
    try {
        filesystem.plan_resize(plan, {1, old_size, new_size});
        ADD_FAILURE() << "not refused: " << new_size;
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::size_impossible) << error.what();
        EXPECT_EQ(name(error.reason()), name(reason)) << error.what();
    }
}

/// The figure of `ntfsresize -i`: "You might resize at N bytes".
std::uint64_t ntfsresize_figure(const std::string& path) {
    const std::string text = dt::run_tool({"ntfsresize", "-i", "-P", path});
    const std::string lead = "You might resize at ";
    return std::stoull(text.substr(text.find(lead) + lead.size()));
}

} // namespace

class Minimum : public testing::TestWithParam<Pattern> {};

TEST_P(Minimum, IsTrue) {
    for (const char* options : {"-c 4096", "-c 512", "-c 65536"}) {
        const bool full = std::string(GetParam().name) == "nearly_full";
        MadeNtfs made({"shrunk", full ? 160 * MiB : 256 * MiB, options});
        fill(made.path(), GetParam());
        const std::string contents = contents_of(made.path());
        Opened opened(made.path());
        ASSERT_EQ(opened->can_shrink(), Reason::none);
        const MinimumSize minimum = opened->minimum_size();
        const FilesystemUsage usage = opened->usage();
        // Its own figure lacks the margin, and the cluster that it takes for the backup boot sector.
        const std::uint64_t used = usage.size / usage.block_size * usage.block_size - usage.free;
        EXPECT_NEAR(static_cast<double>(ntfsresize_figure(made.path())), static_cast<double>(used),
                    static_cast<double>(usage.block_size));
        if (full) {
            EXPECT_EQ(minimum.bytes, usage.size);
            EXPECT_EQ(minimum.reason, Reason::filesystem_full_to_size);
            expect_refused(*opened.filesystem, made.size(), made.size() - MiB, Reason::below_minimum);
            continue;
        }
        EXPECT_LT(minimum.bytes, usage.size) << options;
        EXPECT_GE(minimum.bytes, used + 100 * MiB);
        EXPECT_NE(minimum.sentence.find("margin of 100 MiB"), std::string::npos) << minimum.sentence;
        expect_refused(*opened.filesystem, made.size(), minimum.bytes - MiB, Reason::below_minimum);
        const std::vector<std::string> warnings = resize(made.path(), made.size(), minimum.bytes);
        ASSERT_EQ(warnings.size(), 1u);
        EXPECT_NE(warnings[0].find("chkdsk"), std::string::npos);
        expect_resized(made, minimum.bytes, contents);
    }
}

INSTANTIATE_TEST_SUITE_P(Patterns, Minimum, testing::ValuesIn(patterns()),
                         [](const auto& test) { return test.param.name; });

TEST(Resize, Grows) {
    for (const char* options : {"-c 4096", "-c 512", "-s 4096 -c 65536"}) {
        MadeNtfs made({"grown", 64 * MiB, options});
        fill(made.path(), patterns()[0]);
        const std::string contents = contents_of(made.path());
        constexpr std::uint64_t size = 3 * GiB + 4096;
        std::filesystem::resize_file(made.path(), size);
        resize(made.path(), 64 * MiB, size);
        expect_resized(made, size, contents);
    }
}

// The window is as large as the larger of both sizes, but no size in between may be taken for it.
TEST(Resize, ShrinksToWhatWasAskedForAndTwice) {
    MadeNtfs made({"shrunk", 512 * MiB, ""});
    fill(made.path(), patterns()[0]);
    const std::string contents = contents_of(made.path());
    resize(made.path(), 512 * MiB, 300 * MiB + 512);
    EXPECT_LE(Opened(made.path())->usage().size, 300 * MiB + 512);
    set_volume_flags(made.path(), 0);
    resize(made.path(), 300 * MiB + 512, 200 * MiB);
    expect_resized(made, 200 * MiB, contents);
}

// ntfsresize does not cut the MFT's mirror in two; the volume ends before it then.
TEST(Resize, DoesNotEndInsideTheMirror) {
    MadeNtfs made({"mirror", 512 * MiB, "-c 512"});
    const std::uint64_t mirror = OpenedVolume(made.path()).place_of(mirror_file);
    ASSERT_GT(mirror, 200 * MiB);
    const std::uint64_t size = mirror + 3 * 512; // one cluster is left out: two of the mirror would stay
    resize(made.path(), 512 * MiB, size);
    EXPECT_LE(Opened(made.path())->usage().size, mirror + 512);
    std::filesystem::resize_file(made.path(), size);
    expect_sound(made.path());
}

TEST(Resize, NothingToDo) {
    MadeNtfs made({"same", 64 * MiB, ""});
    Plan plan("resize", made.path());
    Opened(made.path())->plan_resize(plan, {1, 64 * MiB, 64 * MiB});
    EXPECT_TRUE(plan.empty());
    EXPECT_EQ(plan.notes().size(), 1u);
}

TEST(Resize, TooLarge) {
    MadeNtfs made({"same", 64 * MiB, "-c 512"});
    Opened opened(made.path());
    expect_refused(*opened.filesystem, 64 * MiB, 3 * TiB, Reason::size_too_large);
}

TEST(Resize, BadClustersAreNamed) {
    MadeNtfs made({"bad", 120 * MiB, ""});
    // $BadClus:$Bad is one hole of the volume's size; make its last cluster real.
    const OpenedVolume opened(made.path());
    const std::uint64_t clusters = opened.volume.boot().clusters();
    constexpr std::uint64_t lcn = 100;
    ASSERT_TRUE(Oracle(made.path()).free.contains({lcn * 4096, 4096}));
    const std::uint64_t place = opened.volume.mft().runs[0].lcn * 4096 + 8 * 1024;
    const std::size_t at = made.read(place, 1024).find("\x02" + little_endian(clusters, 2));
    ASSERT_NE(at, std::string::npos);
    made.patch(place + at, "\x02" + little_endian(clusters - 1, 2) + "\x11\x01" + little_endian(lcn, 2));
    made.patch(opened.place_of(bitmap_file) + lcn / 8, "\x10");
    Opened bad(made.path());
    EXPECT_EQ(bad->can_shrink(), Reason::filesystem_cannot_shrink);
    EXPECT_EQ(bad->minimum_size().bytes, bad->usage().size);
    EXPECT_NE(bad->minimum_size().sentence.find("chkdsk /b"), std::string::npos);
}

// ntfsresize's check finds what we did not look for; its own words are told, and nothing was changed.
TEST(Resize, WhatTheCheckFindsIsTold) {
    MadeNtfs made({"leaking", 256 * MiB, ""});
    const std::uint64_t bitmap = OpenedVolume(made.path()).place_of(bitmap_file);
    made.patch(bitmap + 5000, "\x0f"); // clusters that belong to nobody
    const std::string before = dt::run_tool({"sha256sum", made.path()});
    try {
        resize(made.path(), 256 * MiB, 200 * MiB);
        ADD_FAILURE() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::damaged);
        EXPECT_NE(std::string(error.what()).find("accounting"), std::string::npos) << error.what();
        EXPECT_NE(std::string(error.what()).find("chkdsk"), std::string::npos) << error.what();
    }
    EXPECT_EQ(dt::run_tool({"sha256sum", made.path()}), before);
}

TEST(Resize, AnAnswerIsNeverAskedFor) {
    MadeNtfs made({"commands", 256 * MiB, ""});
    Plan plan("resize", made.path());
    Opened(made.path())->plan_resize(plan, {3, 256 * MiB, 200 * MiB});
    ASSERT_EQ(plan.steps().size(), 2u);
    EXPECT_EQ(plan.steps()[0]->kind(), "ntfs.check");
    EXPECT_EQ(plan.steps()[1]->kind(), "ntfs.resize");
    EXPECT_EQ(plan.steps()[0]->cost().written, 0u);
    FakeContext context(made.path());
    for (const auto& step : plan.steps())
        step->commit(context);
    const std::string common = " --no-progress-bar --size 209715200 " + made.path();
    ASSERT_EQ(context.bench.commands.size(), 2u);
    EXPECT_EQ(context.bench.commands[0].text(), "ntfsresize --no-action" + common);
    EXPECT_EQ(context.bench.commands[1].text(), "ntfsresize --force" + common);
    EXPECT_TRUE(context.bench.commands[1].input.empty());
}

} // namespace disktool::ntfs::test
