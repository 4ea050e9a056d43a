// SPDX-License-Identifier: LGPL-2.1-or-later
#include <disktool/last_words.h>

#include <gtest/gtest.h>

namespace disktool {
namespace {

CommandResult said(const std::string& output, const std::string& errors) {
    CommandResult result;
    result.output = output;
    result.errors = errors;
    return result;
}

TEST(LastWords, ALineThatGoesOnStaysWithItsBeginning) {
    const CommandResult e2fsck =
        said("/dev/x: Inode 12 has a bad block.\n\n",
             "\n/dev/x: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.\n\t(i.e., without -a or -p options)\n");
    const std::string manually =
        "/dev/x: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY. (i.e., without -a or -p options)";
    EXPECT_EQ(last_words(e2fsck), manually);
    EXPECT_EQ(last_words(e2fsck, 3), "/dev/x: Inode 12 has a bad block.; " + manually);
}

TEST(LastWords, ErrorsComeAfterOutput) {
    EXPECT_EQ(last_words(said("one\ntwo\n", "three\n")), "three");
    EXPECT_EQ(last_words(said("one\ntwo\n", " \n\n")), "two");
    EXPECT_EQ(last_words(said("one\n", "  two\n"), 2), "one; two") << "each stream begins anew";
}

TEST(LastWords, MayBeNone) {
    EXPECT_EQ(last_words(said("", "")), "");
    EXPECT_EQ(last_words(said("\n \t\n", ""), 3), "");
    EXPECT_EQ(last_words(said("only", ""), 3), "only");
}

TEST(LastWords, AreShort) {
    EXPECT_LE(last_words(said(std::string(100'000, 'x'), "")).size(), 510u);
}

} // namespace
} // namespace disktool
