// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ploop_error.h"
#include "uuid.h"

#include <gmock/gmock.h>

#include <cerrno>
#include <set>

namespace disktool::ploop {
namespace {

TEST(UuidTest, BothForms) {
    EXPECT_EQ(Uuid::parse("{0123ABcd-1111-2222-3333-444455556666}").value().text(),
              "{0123ABcd-1111-2222-3333-444455556666}");
    EXPECT_EQ(Uuid::parse("0123ABcd-1111-2222-3333-444455556666").value().text(),
              "{0123ABcd-1111-2222-3333-444455556666}");
}

TEST(UuidTest, NothingElse) {
    for (const char* text :
         {"", "{}", "base", "{0123abcd-1111-2222-3333-444455556666", "0123abcd-1111-2222-3333-444455556666}",
          "(0123abcd-1111-2222-3333-444455556666)", "0123abcd111122223333444455556666",
          "0123abcg-1111-2222-3333-444455556666", "0123abcd-11112-222-3333-444455556666",
          "0123abcd-1111-2222-3333-4444555566667", " 0123abcd-1111-2222-3333-444455556666",
          "{{0123abcd-1111-2222-3333-44445555666}}", "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"}) {
        EXPECT_FALSE(Uuid::parse(text)) << text;
    }
    EXPECT_FALSE(Uuid::parse(std::string_view("0123abcd-1111-2222-3333-44445555666\0", 36)));
}

TEST(UuidTest, CaseDoesNotMatter) {
    const Uuid lower = Uuid::parse("{aaaaaaaa-1111-2222-3333-bbbbbbbbbbbb}").value();
    const Uuid upper = Uuid::parse("{AAAAAAAA-1111-2222-3333-BBBBBBBBBBBB}").value();
    EXPECT_EQ(lower, upper);
    EXPECT_EQ(upper.lower(), lower.text());
    EXPECT_NE(lower, Uuid::parse("{aaaaaaaa-1111-2222-3333-bbbbbbbbbbbc}").value());
    EXPECT_TRUE(Uuid::none().is_none());
    EXPECT_FALSE(Uuid::top().is_none());
}

TEST(UuidTest, RandomOnesAreVersion4) {
    std::set<std::string> seen;
    std::set<char> variants;
    for (int i = 0; i < 300; ++i) {
        const std::string text = Uuid::random().text();
        EXPECT_THAT(text, testing::MatchesRegex(
                              "\\{[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\\}"));
        EXPECT_TRUE(seen.insert(text).second);
        variants.insert(text[20]);
    }
    EXPECT_EQ(variants.size(), 4u);
}

TEST(PloopErrorTest, ExitCodes) {
    EXPECT_EQ(exit_code_of(PloopError(Exit::dirty, ErrorCode::damaged, "x")), 37);
    EXPECT_EQ(exit_code_of(Error(ErrorCode::not_found, "x")), 4);
    EXPECT_EQ(exit_code_of(Error(ErrorCode::damaged, "x")), 4);
    EXPECT_EQ(exit_code_of(Error(ErrorCode::locked, "x")), 23);
    EXPECT_EQ(exit_code_of(Error(ErrorCode::no_space, "x")), 7) << "the man page: error during write";
    EXPECT_EQ(exit_code_of(Error(ErrorCode::usage, "x")), 38);
    EXPECT_EQ(exit_code_of(Error(ErrorCode::size_impossible, "x")), 38);
    EXPECT_EQ(exit_code_of(Error(ErrorCode::failure, "x")), 1);
    EXPECT_EQ(exit_code_of(SystemError("Cannot write", "f", ENOSPC)), 7);
    EXPECT_EQ(exit_code_of(Error(ErrorCode::damaged, "x", Reason::table_damaged)), 33);
}

TEST(PloopErrorTest, AFailedCallHasTheExitCodeOfItsKind) {
    const auto code = [](SystemCall call) { return exit_code_of(SystemError("x", "y", EIO, call)); };
    EXPECT_EQ(code(SystemCall::other), 1);
    EXPECT_EQ(code(SystemCall::create), 1);
    EXPECT_EQ(code(SystemCall::open), 4);
    EXPECT_EQ(code(SystemCall::read), 6);
    EXPECT_EQ(code(SystemCall::write), 7);
    EXPECT_EQ(code(SystemCall::stat), 15);
    EXPECT_EQ(code(SystemCall::sync), 16);
    EXPECT_EQ(code(SystemCall::lock), 18);
    EXPECT_EQ(code(SystemCall::truncate), 19);
    EXPECT_EQ(code(SystemCall::allocate), 20);
    EXPECT_EQ(code(SystemCall::make_directory), 27);
    EXPECT_EQ(code(SystemCall::rename), 28);
    EXPECT_EQ(code(SystemCall::remove), 35);
    EXPECT_EQ(code(SystemCall::make_node), 36);
}

} // namespace
} // namespace disktool::ploop
