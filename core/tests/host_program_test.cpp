// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/host_program.h"
#include "support/fake_process_door.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace disktool {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(HostProgramVersion, IsFoundInWhatProgramsSay) {
    EXPECT_EQ(version_in("e2fsck 1.47.0 (5-Feb-2023)\n\tUsing EXT2FS Library version 1.47.0, 5-Feb-2023"),
              "1.47.0");
    EXPECT_EQ(version_in("ntfsresize v2022.10.3 (libntfs-3g)"), "2022.10.3");
    EXPECT_EQ(version_in("xfs_growfs version 6.1.0\n"), "6.1.0");
    EXPECT_EQ(version_in("btrfs-progs v6.2 "), "6.2");
    EXPECT_EQ(version_in("mkswap from util-linux 2.38.1"), "2.38.1");
    EXPECT_EQ(version_in("tool 3.4."), "3.4");
    EXPECT_EQ(version_in("x86_64 lib2.5 of 2023, 1..2"), std::nullopt);
    EXPECT_EQ(version_in(""), std::nullopt);
}

TEST(HostProgramVersion, IsComparedNumberByNumber) {
    EXPECT_TRUE(older("1.9", "1.10"));
    EXPECT_FALSE(older("1.10", "1.9"));
    EXPECT_TRUE(older("4.1.2", "4.2"));
    EXPECT_FALSE(older("4.2", "4.2.0"));
    EXPECT_FALSE(older("4.2.0", "4.2"));
    EXPECT_TRUE(older("4.2", "4.2.1"));
    EXPECT_FALSE(older("010.2", "9.3"));
    EXPECT_TRUE(older("1.2", "99999999999999999999999.1"));
}

/// Programs of the test's own in PATH.
class HostProgramTest : public testing::Test {
  protected:
    HostProgramTest() : before_(std::getenv("PATH")) {
        setenv("PATH", (folder_.path().string() + ":" + before_).c_str(), 1);
        forget_programs();
    }
    ~HostProgramTest() override {
        setenv("PATH", before_.c_str(), 1);
        forget_programs();
    }
    void install(const std::string& name, const std::string& script) {
        test::write_file(folder_ / name, "#!/bin/sh\n" + script + "\n");
        std::filesystem::permissions(folder_ / name, std::filesystem::perms::owner_all);
    }

    std::string before_;
    test::TemporaryFolder folder_;
    test::FakeProcessDoor door_{test::FakeProcessDoor::Unmatched::pass_on};
    Doors doors_{real_doors().files, door_};
};

TEST_F(HostProgramTest, GivesPathAndVersionAndAsksOnce) {
    install("growfs", "echo growfs version 2.5.1 >&2; exit 1");
    const HostProgram program = require_program(doors_, "growfs", "2.5", "growfs-tools", "to grow it");
    EXPECT_EQ(program.path, folder_ / "growfs");
    EXPECT_EQ(program.version, "2.5.1");
    require_program(doors_, "growfs", "2.1", "growfs-tools", "to grow it");
    EXPECT_EQ(door_.asked().size(), 1u);
}

TEST_F(HostProgramTest, NoVersionAskedForIsNotLookedFor) {
    install("growfs", "exit 1");
    EXPECT_EQ(require_program(doors_, "growfs", "", "growfs-tools", "").path, folder_ / "growfs");
    EXPECT_TRUE(door_.asked().empty());
}

std::string refusal(Doors doors, const std::string& name, const std::string& version) {
    try {
        require_program(doors, name, version, "growfs-tools", "to shrink the file system");
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::program_missing);
        return error.what();
    }
    return "";
}

TEST_F(HostProgramTest, RefusesWithTheWayOut) {
    EXPECT_THAT(refusal(doors_, "no-such-growfs", ""),
                AllOf(HasSubstr("no-such-growfs is not installed"), HasSubstr("to shrink the file system"),
                      HasSubstr("package growfs-tools")));
    install("growfs", "echo growfs 1.9.7");
    EXPECT_THAT(refusal(doors_, "growfs", "1.10"),
                AllOf(HasSubstr("1.9.7"), HasSubstr("1.10"), HasSubstr("package growfs-tools")));
    install("silent", "true");
    EXPECT_THAT(refusal(doors_, "silent", "1"), HasSubstr("does not tell its version"));
    EXPECT_EQ(refusal(doors_, "silent", ""), "");
}

TEST_F(HostProgramTest, FindsSystemProgramsWithoutPath) {
    setenv("PATH", "relative:/nonexistent", 1);
    EXPECT_THAT(require_program(doors_, "e2fsck", "1.40", "e2fsprogs", "").path, HasSubstr("sbin/e2fsck"));
}

TEST_F(HostProgramTest, KnowsHowTheyAreAsked) {
    const auto version = [&](const char* name) {
        return require_program(doors_, name, "0.1", "x", "").version;
    };
    for (const char* name : {"e2fsck", "resize2fs", "mke2fs", "ntfsresize", "xfs_growfs", "btrfs", "mkswap"})
        EXPECT_NE(version(name), "") << name;
    EXPECT_EQ(version("resize2fs"), version("e2fsck"));
}

} // namespace
} // namespace disktool
