// SPDX-License-Identifier: LGPL-2.1-or-later
// What `check` makes of the host: holes in the file, raw files, stacks of files, a full host, a large disk.
#include "check_fixture.h"
#include "support/recording_door.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <filesystem>
#include <string>
#include <tuple>

namespace fs = std::filesystem;

namespace disktool::ploop::test {

namespace {

class CheckSparse : public Check {
  protected:
    /// A hole in the middle of cluster 3. False: the host's file system has none.
    bool make_hole() {
        image.write(path);
        auto file = real_doors().files.open(path, {.write = true});
        file->punch_hole({3 * cluster_size + 4096, 8192});
        file->sync();
        return file->next_hole(0).has_value();
    }
};

TEST_F(CheckSparse, HolesOfTheHostAreFatalOrFilled) {
    if (!make_hole()) {
        GTEST_SKIP() << "the host's file system has no holes";
    }
    const std::string content = read_file(path);
    for (const char* letters : {"", "f", "fSr"}) {
        const CheckRun run = run_check(path, letters);
        EXPECT_EQ(run.result.exit_code, 11) << letters;
        EXPECT_EQ(run.err, "Error: ploop image 'DIR/root.hds' is sparse\n");
        EXPECT_TRUE(run.result.sparse);
        EXPECT_FALSE(run.result.changed);
    }
    const CheckRun run = run_check(path, "S");
    EXPECT_EQ(run.result.exit_code, 0);
    EXPECT_TRUE(run.result.changed);
    EXPECT_EQ(run.err, "Warning: ploop image 'DIR/root.hds' is sparse\n");
    EXPECT_EQ(run.out, clean + "Reallocating sparse blocks back\nFilling hole at start=102400 len=8192\n");
    EXPECT_EQ(run_check(path, "").result.exit_code, 0);
    EXPECT_TRUE(read_file(path) == content);
}

TEST_F(CheckSparse, WhatTheHostHasReservedIsNoHole) {
    image.write(path);
    fs::resize_file(path, cluster_size);
    auto file = real_doors().files.open(path, {.write = true});
    file->allocate({cluster_size, 5 * cluster_size}, false);
    file->sync();
    EXPECT_EQ(run_check(path, "f").result.exit_code, 0);
}

TEST_F(CheckSparse, OfRawImages) {
    disktool::test::write_file(path, std::string(3 * cluster_size, 'x'));
    EXPECT_EQ(run_check(path, "R").result.exit_code, 38);
    const CheckRun run = run_check(path, "RbF");
    EXPECT_EQ(run.result.exit_code, 0);
    EXPECT_EQ(run.out + run.err, "");
    fs::resize_file(path, 5 * cluster_size);
    if (real_doors().files.open(path, {})->next_hole(0)) {
        EXPECT_EQ(run_check(path, "Rb").result.exit_code, 11);
        EXPECT_EQ(run_check(path, "RbS").result.exit_code, 0);
        EXPECT_EQ(run_check(path, "Rb").result.exit_code, 0);
        EXPECT_EQ(read_file(path), std::string(3 * cluster_size, 'x') + std::string(2 * cluster_size, '\0'));
    }
}

class CheckStack : public Check {
  protected:
    const std::string base = folder / "base.hds";
    SmallImage lower;
    CheckRun run(std::uint32_t cluster_sectors = 64, bool raw = false) {
        lower.write(base);
        image.write(path);
        return run_check_stack({{base, raw}, {path}}, cluster_sectors);
    }
};

TEST_F(CheckStack, OnlyTheTopIsMended) {
    EXPECT_EQ(std::tuple(run().out, run().err, run().result.exit_code), std::tuple("", "", 0));
    image.header.in_use = in_use_mark;
    const CheckRun top = run();
    EXPECT_EQ(std::tuple(top.out, top.err, top.result.exit_code), std::tuple(reopen, dirty, 0));
    EXPECT_EQ(look_at(path).in_use, 0u);

    lower.header.in_use = in_use_mark;
    const CheckRun both = run();
    EXPECT_EQ(both.out, "");
    EXPECT_EQ(both.err, dirty + read_only + "DIR/base.hds : irrecoverable errors (ro)\n");
    EXPECT_EQ(both.result.exit_code, 7);
    expect_unchanged();
    EXPECT_EQ(look_at(base).in_use, in_use_mark);
}

TEST_F(CheckStack, ClustersOfAnotherSizeAreRefused) {
    const CheckRun refused = run(128);
    EXPECT_EQ(refused.result.exit_code, 11);
    EXPECT_EQ(refused.err, "Wrong cluster size 64 in image DIR/base.hds, the disk's descriptor says 128\n"
                           "DIR/base.hds : irrecoverable errors (ro)\n");
}

TEST_F(CheckStack, OverARawBase) {
    image.header.type = 9;
    const CheckRun refused = run(64, true);
    EXPECT_EQ(refused.result.exit_code, 11);
    EXPECT_EQ(refused.err, "Wrong type in image DIR/root.hds\nDIR/root.hds : irrecoverable errors (rw)\n");
}

TEST_F(CheckStack, HolesOfARawImageAreWhatACompactLeaves) {
    disktool::test::write_file(base, std::string(3 * cluster_size, 'x'));
    fs::resize_file(base, 5 * cluster_size);
    image.write(path);
    const auto file = real_doors().files.open(base, {});
    if (!file->next_hole(0)) {
        GTEST_SKIP() << "the host has no holes";
    }
    const CheckRun checked = run_check_stack({{base, true}, {path}}, 64);
    EXPECT_EQ(std::tuple(checked.out, checked.err, checked.result.exit_code), std::tuple("", "", 0));
    EXPECT_TRUE(file->next_hole(0));
}

TEST_F(Check, WhenTheHostIsFullTheImageIsAsGoodAsBefore) {
    image.entries[100] = image.entry(2);
    image.write(path);
    const std::string before = read_file(path);
    disktool::test::RecordingDoor door(folder.path());
    door.limit_space(cluster_size);
    try {
        run_check(path, "F", door);
        FAIL() << "must throw";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::no_space);
    }
    EXPECT_TRUE(door.failed());
    const SeenImage seen = look_at(path);
    EXPECT_EQ(seen.table, image.entries);
    EXPECT_EQ(run_check(path, "F").result.exit_code == 0, seen.in_use == 0);
}

TEST_F(Check, OfALargeDiskTakesLittle) {
    // 1 TiB in clusters of 1 MiB; thin.
    image.header = new_header(TiB / sector_size, 2048, Version::v2);
    image.header.flags = 0;
    ASSERT_EQ(image.header.entries, 1u << 20);
    image.entries = {{0, 5}, {500'000, 6}, {(1u << 20) - 1, 7}};
    image.clusters = 8;
    image.write(path);
    const CheckRun run = run_check(path, "fc");
    EXPECT_EQ(std::tuple(run.out, run.err, run.result.exit_code), std::tuple(reopen, "", 0));
    image.entries[1u << 20] = 7;
    image.entries[700'000] = 5;
    image.write(path);
    EXPECT_EQ(run_check(path, "fc").result.duplicates, 1u);
    EXPECT_EQ(run_check(path, "fc").result.out_of_range, 1u);
    EXPECT_EQ(run_check(path, "F").result.exit_code, 0);
    const CheckRun again = run_check(path, "fcr");
    EXPECT_EQ(std::tuple(again.out, again.err, again.result.exit_code), std::tuple("", "", 0));
}

} // namespace

} // namespace disktool::ploop::test
