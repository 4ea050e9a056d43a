// SPDX-License-Identifier: GPL-2.0-or-later
// Dirty, sleeping, unclean: seen, and held against what libntfs-3g says of the same image.
#include "made_ntfs.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace disktool::ntfs::test {

namespace dt = disktool::test;

namespace {

const Recipe small{"small", 32 * MiB, ""};

void expect_clean(const std::string& path) {
    const FilesystemState state = Opened(path)->state();
    EXPECT_TRUE(state.clean() && state.free_map_trusted) << state.sentence;
    const Oracle oracle(path);
    EXPECT_FALSE(oracle.hibernated);
    EXPECT_TRUE(oracle.journal_clean);
}

void expect_unclean(const std::string& path, Reason reason, const std::string& words) {
    Opened opened(path);
    const FilesystemState state = opened->state();
    EXPECT_EQ(name(state.reason), name(reason)) << state.sentence;
    EXPECT_FALSE(state.free_map_trusted);
    EXPECT_FALSE(state.appliance_can_help);
    EXPECT_NE(state.sentence.find(words), std::string::npos) << state.sentence;
    EXPECT_EQ(opened->can_shrink(), reason);
    EXPECT_EQ(opened->can_grow(), reason);
    EXPECT_GT(opened->usage().free, 0u);
    for (int i = 0; i < 3; ++i)
        try {
            Plan plan("resize", path);
            if (i == 0)
                opened->free_extents();
            else if (i == 1)
                opened->minimum_size();
            else
                opened->plan_resize(plan, {1, 32 * MiB, 64 * MiB});
            ADD_FAILURE() << "not refused";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::damaged);
            EXPECT_EQ(error.reason(), reason);
        }
}

void write_hibernation_file(const std::string& image, const std::string& head, std::size_t size = 1 << 20) {
    const Mount mount(image, "remove_hiberfile");
    dt::write_file(mount / "hiberfil.sys", head + std::string(size - head.size(), '\0'));
}

struct RestartPage {
    const char* magic = "RSTR";
    std::uint64_t sequence = 1000;
    unsigned major_version = 1;
    unsigned client_in_use = 0; ///< 0xffff: none
    unsigned flags = 0;         ///< 2: clean
};

/// As Windows writes it: linux/fs/ntfs3/fslog.c names the fields.
std::string made_page(const RestartPage& page) {
    std::string bytes(4096, '\0');
    const auto put = [&bytes](std::size_t at, std::uint64_t value, std::size_t size) {
        bytes.replace(at, size, little_endian(value, size));
    };
    bytes.replace(0, 4, page.magic);
    put(4, 0x1e, 2);
    put(6, 9, 2);
    if (bytes.starts_with("CHKD"))
        put(8, page.sequence, 8);
    put(0x10, 4096, 4);
    put(0x14, 4096, 4);
    put(0x18, 0x30, 2);
    put(0x1a, page.major_version == 1 ? 1 : 0, 2);
    put(0x1c, page.major_version, 2);
    put(0x30, page.sequence, 8);
    put(0x38, 1, 2);
    put(0x3a, page.client_in_use == 0xffff ? 0 : 0xffff, 2);
    put(0x3c, page.client_in_use, 2);
    put(0x3e, page.flags, 2);
    put(0x40, 67 - 22, 4); // of a journal of 2 MiB or more, but less than 4
    put(0x44, 0x40 + 160, 2);
    put(0x46, 0x40, 2);
    put(0x48, 2 * MiB, 8);
    put(0x54, 0x30, 2);
    put(0x56, 0x40, 2);
    put(0x70, ~std::uint64_t{0}, 8); // the client: oldest and restart LSN, previous and next
    put(0x80, 0xffffffff, 4);
    put(0x1e, 0x0007, 2);
    for (std::size_t block = 1; block <= 8; ++block) {
        bytes.replace(0x1e + 2 * block, 2, bytes.substr(512 * block - 2, 2));
        put(512 * block - 2, 0x0007, 2);
    }
    return bytes;
}

void put_pages(MadeNtfs& made, const std::string& first, const std::string& second) {
    const std::uint64_t place = OpenedVolume(made.path()).place_of(log_file);
    made.patch(place, first + second);
}

} // namespace

TEST(State, FreshAndUsedOnesAreClean) {
    MadeNtfs made(small);
    expect_clean(made.path());
    fill(made.path(), patterns()[2]);
    expect_clean(made.path());
}

TEST(State, DirtyFlag) {
    MadeNtfs made(small);
    set_volume_flags(made.path(), 0x0001);
    expect_unclean(made.path(), Reason::filesystem_dirty, "shutdown /s /f /t 0");
    set_volume_flags(made.path(), 0x4000);
    expect_unclean(made.path(), Reason::filesystem_being_checked, "chkdsk");
    set_volume_flags(made.path(), 0x8080); // others say nothing of the kind
    expect_clean(made.path());
}

class Hibernation : public testing::TestWithParam<int> {};

// With no, some and thousands of other files in the root folder: in its record, one index block, many.
TEST_P(Hibernation, IsSeenUntilTheFileIsGone) {
    MadeNtfs made(small);
    {
        const Mount mount(made.path());
        for (int i = 0; i < GetParam(); ++i)
            dt::write_file(mount / fmt::format("{}-neighbour-{}", i % 2 == 0 ? "a" : "z", i), "");
    }
    for (const char* signature : {"hibr", "HIBR"}) {
        write_hibernation_file(made.path(), signature);
        EXPECT_TRUE(Oracle(made.path()).hibernated);
        expect_unclean(made.path(), Reason::hibernated, "shutdown /s /f /t 0");
    }
    for (const char* signature : {"wake", ""}) {
        write_hibernation_file(made.path(), signature);
        expect_clean(made.path());
    }
    write_hibernation_file(made.path(), "hibr");
    {
        const Mount mount(made.path(), "remove_hiberfile");
        std::filesystem::remove(mount / "hiberfil.sys");
        EXPECT_FALSE(std::filesystem::exists(mount / "hiberfil.sys"));
    }
    expect_clean(made.path());
}

INSTANTIATE_TEST_SUITE_P(Neighbours, Hibernation, testing::Values(0, 20, 1500));

TEST(State, ShortHibernationFileAndOtherCase) {
    MadeNtfs made(small);
    write_hibernation_file(made.path(), "", 100);
    EXPECT_TRUE(Oracle(made.path()).hibernated);
    expect_unclean(made.path(), Reason::hibernated, "sleeps");
    MadeNtfs other(small);
    {
        const Mount mount(other.path());
        dt::write_file(mount / "HiberFil.Sys", "hibr" + std::string(8192, '\0'));
    }
    expect_unclean(other.path(), Reason::hibernated, "sleeps");
    MadeNtfs elsewhere(small); // not in the root folder: some copy
    {
        const Mount mount(elsewhere.path());
        std::filesystem::create_directory(mount / "folder");
        dt::write_file(mount / "folder/hiberfil.sys", "hibr" + std::string(8192, '\0'));
    }
    expect_clean(elsewhere.path());
}

TEST(State, Journal) {
    const RestartPage open{};
    RestartPage closed{.flags = 2};
    RestartPage none{.client_in_use = 0xffff};
    RestartPage newer_open{.sequence = 2000};
    RestartPage newer_closed{.sequence = 2000, .flags = 2};
    struct Case {
        RestartPage first;
        RestartPage second;
        bool clean;
    };
    for (const Case& one : {Case{open, open, false}, Case{closed, closed, true}, Case{none, none, true},
                            Case{closed, newer_open, false}, Case{newer_open, closed, false},
                            Case{open, newer_closed, true}, Case{newer_closed, open, true},
                            Case{{.magic = "CHKD", .sequence = 3000, .client_in_use = 0xffff}, open, true}}) {
        MadeNtfs made(small);
        put_pages(made, made_page(one.first), made_page(one.second));
        EXPECT_EQ(Oracle(made.path()).journal_clean, one.clean);
        if (one.clean)
            EXPECT_TRUE(Opened(made.path())->state().clean());
        else
            expect_unclean(made.path(), Reason::journal_needs_replay, "replayed");
    }
}

TEST(State, JournalOfFastStartup) {
    MadeNtfs made(small);
    const std::string page = made_page({.major_version = 2, .flags = 2});
    put_pages(made, page, page);
    EXPECT_FALSE(Oracle(made.path()).journal_clean);
    expect_unclean(made.path(), Reason::hibernated, "fast startup");
}

TEST(State, JournalThatMakesNoSense) {
    for (const std::string& page :
         {std::string(4096, 'x'), made_page({.major_version = 7}), "RCRD" + std::string(4092, '\0')}) {
        MadeNtfs made(small);
        put_pages(made, page, page);
        EXPECT_FALSE(Oracle(made.path()).journal_clean);
        expect_unclean(made.path(), Reason::journal_needs_replay, "unknown version or damaged");
    }
    MadeNtfs torn(small);
    std::string page = made_page({.flags = 2});
    page[1022] = 'x';
    put_pages(torn, page, page);
    expect_unclean(torn.path(), Reason::journal_needs_replay, "unknown version or damaged");
}

} // namespace disktool::ntfs::test
