// SPDX-License-Identifier: LGPL-2.1-or-later
#include "errors.h"
#include "mount_helper_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace disktool::ploop::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(MountHelper, PassesOptionsOnAndNamesTheWayBack) {
    const HelperCall call = mount_call({"/d/X.xml", "/mnt", "-o", "rw,noatime,data=ordered"});
    EXPECT_THAT(call.words, ElementsAre("mount", "-m", "/mnt", "-o", "rw,noatime,data=ordered,helper=ploop",
                                        "--", "/d/X.xml"));
    EXPECT_TRUE(call.quiet);
    EXPECT_FALSE(call.remount);
}

TEST(MountHelper, OwnOptionsBecomeWords) {
    const HelperCall call =
        mount_call({"-v", "/d/X.xml", "/mnt", "-n", "-o",
                    "ploop.uuid={1},ro,ploop.fsck,ploop.component=c,ploop.device=/dev/ploop3,"
                    "ploop.fstype=xfs,ploop.backend=fuse"});
    EXPECT_THAT(call.words,
                ElementsAre("mount", "-m", "/mnt", "-o", "ro,helper=ploop", "-u", "{1}", "-F", "-c", "c", "-d",
                            "/dev/ploop3", "-t", "xfs", "--backend", "fuse", "--", "/d/X.xml"));
    EXPECT_FALSE(call.quiet);
}

TEST(MountHelper, ReadOnlyOnce) {
    EXPECT_EQ(mount_call({"-r", "x", "/mnt"}).words[4], "ro,helper=ploop");
    EXPECT_EQ(mount_call({"-r", "x", "/mnt", "-o", "ro"}).words[4], "ro,helper=ploop");
}

TEST(MountHelper, CommasInQuotesEndNoOption) {
    EXPECT_EQ(mount_call({"x", "/mnt", "-o", "context=\"a,b\",ploop.fsck"}).words[4],
              "context=\"a,b\",helper=ploop");
}

TEST(MountHelper, FakeDoesNothing) {
    EXPECT_THAT(mount_call({"-f", "x", "/mnt"}).words, IsEmpty());
}

TEST(MountHelper, RemountChangesWhatIsThere) {
    const HelperCall call = mount_call({"x", "/mnt", "-o", "remount,ro"});
    EXPECT_THAT(call.words, IsEmpty());
    EXPECT_EQ(call.remount, "ro");
}

TEST(MountHelper, UnmountsByFolderOrDevice) {
    EXPECT_THAT(umount_call({"/mnt", "-l", "-n"}).words, ElementsAre("umount", "-m", "/mnt"));
    EXPECT_THAT(umount_call({"/dev/ploop0p1"}).words, ElementsAre("umount", "-d", "/dev/ploop0p1"));
}

TEST(MountHelper, HelpIsNoWrongWord) {
    EXPECT_THROW(mount_call({"--help"}), HelpRequested);
    EXPECT_THROW(mount_call({"x", "/mnt", "-h"}), HelpRequested);
    EXPECT_THROW(umount_call({"--help"}), HelpRequested);
    EXPECT_THAT(helper_usage("mount.ploop"), testing::StartsWith("Usage: mount.ploop "));
    EXPECT_THAT(helper_usage("umount.ploop"), testing::StartsWith("Usage: umount.ploop "));
}

TEST(MountHelper, AWrongOptionIsNamed) {
    for (const char* option : {"-q", "--bogus", "--help=x"}) {
        try {
            mount_call({"x", "/mnt", option});
            ADD_FAILURE() << option;
        } catch (const UsageError& error) {
            EXPECT_THAT(error.what(), testing::HasSubstr(std::string("no option ") + option));
        }
    }
}

TEST(MountHelper, WrongWordsAreRefused) {
    EXPECT_THROW(mount_call({"x"}), UsageError);
    EXPECT_THROW(mount_call({"x", "/mnt", "y"}), UsageError);
    EXPECT_THROW(mount_call({"x", "/mnt", "-q"}), UsageError);
    EXPECT_THROW(mount_call({"x", "/mnt", "-N", "/ns"}), UsageError);
    for (const char* option : {"ploop.nonsense", "ploop.uuid", "ploop.uuid=", "ploop.="}) {
        EXPECT_THROW(mount_call({"x", "/mnt", "-o", option}), UsageError) << option;
    }
    EXPECT_THROW(umount_call({}), UsageError);
    EXPECT_THROW(umount_call({"/a", "/b"}), UsageError);
}

} // namespace
} // namespace disktool::ploop::cli
