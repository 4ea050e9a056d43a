// SPDX-License-Identifier: LGPL-2.1-or-later
#include <disktool/error.h>
#include <disktool/log.h>
#include <disktool/plan.h>
#include <disktool/reason.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace disktool {
namespace {

TEST(SystemError, CodeFollowsErrno) {
    for (const int number : {ENOENT, EACCES, EPERM, EROFS, ENOTDIR, EISDIR, ELOOP})
        EXPECT_EQ(SystemError("Cannot open", "/x", number).code(), ErrorCode::not_found) << number;
    for (const int number : {ENOSPC, EDQUOT})
        EXPECT_EQ(SystemError("Cannot write", "/x", number).code(), ErrorCode::no_space) << number;
    for (const int number : {EIO, EINVAL, EBADF})
        EXPECT_EQ(SystemError("Cannot write", "/x", number).code(), ErrorCode::failure) << number;
    const SystemError error("Cannot open", "/x/disk", ENOENT);
    EXPECT_STREQ(error.what(), "Cannot open /x/disk: No such file or directory");
    EXPECT_EQ(error.error_number(), ENOENT);
}

TEST(ErrorCode, NamesAndNumbersAreThoseOfTheScripts) {
    const std::vector<std::pair<int, std::string>> promised = {
        {1, "failure"},         {2, "usage"},       {3, "not_found"},    {4, "locked"},
        {5, "no_space"},        {6, "unsupported"}, {7, "damaged"},      {8, "size_impossible"},
        {9, "program_missing"}, {10, "recovery"},   {130, "interrupted"}};
    for (const auto& [number, word] : promised)
        EXPECT_EQ(name(static_cast<ErrorCode>(number)), word);
}

TEST(Reason, EachHasItsOwnNameAndAWholeSentence) {
    std::set<std::string_view> names, sentences;
    const auto last = static_cast<std::uint32_t>(Reason::job_not_recoverable);
    for (std::uint32_t number = 1; number <= last; ++number) {
        const auto reason = static_cast<Reason>(number);
        EXPECT_THAT(std::string(name(reason)), testing::MatchesRegex("[a-z_]+")) << number;
        EXPECT_THAT(std::string(sentence(reason)), testing::MatchesRegex("[A-Z].*\\.")) << number;
        EXPECT_TRUE(names.insert(name(reason)).second) << name(reason);
        EXPECT_TRUE(sentences.insert(sentence(reason)).second) << name(reason);
    }
    EXPECT_EQ(name(Reason::none), "");
    EXPECT_EQ(name(Reason::internal_snapshots), "internal_snapshots");
}

TEST(Log, GoesToTheOneReceiver) {
    std::vector<std::string> lines;
    set_log_receiver([&](LogLevel level, std::string_view line) {
        lines.push_back(std::to_string(static_cast<int>(level)) + " " + std::string(line));
    });
    log(LogLevel::debug, "a");
    std::thread([] { log(LogLevel::warning, "b"); }).join();
    set_log_receiver({});
    testing::internal::CaptureStderr();
    log(LogLevel::info, "c");
    log(LogLevel::warning, "d");
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "warning: d\n");
    EXPECT_EQ(lines, (std::vector<std::string>{"0 a", "2 b"}));
}

TEST(CancelToken, ThrowsOnceCancelled) {
    CancelToken token;
    EXPECT_NO_THROW(token.check());
    token.cancel();
    try {
        token.check();
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::interrupted);
    }
}

class CostlyStep : public Step {
  public:
    CostlyStep(Cost cost, std::string no_undo) : cost_(cost), no_undo_(std::move(no_undo)) {}
    std::string kind() const override { return "test.costly"; }
    std::string text() const override { return "cost something"; }
    Cost cost() const override { return cost_; }
    void commit(StepContext&) override {}
    std::string needs_no_undo() const override { return no_undo_; }

  private:
    Cost cost_;
    std::string no_undo_;
};

TEST(Plan, CostIsTheSumButSpaceTheLargest) {
    Plan plan("test", "disk");
    EXPECT_EQ(plan.cost().work(), 0u);
    plan.add(std::make_unique<CostlyStep>(Cost{.read = 1, .written = 10, .discarded = 100, .space = 7}, "no"));
    plan.add(std::make_unique<CostlyStep>(Cost{.read = 2, .written = 20, .discarded = 200, .space = 5}, "no"));
    EXPECT_EQ(plan.cost().read, 3u);
    EXPECT_EQ(plan.cost().written, 30u);
    EXPECT_EQ(plan.cost().discarded, 300u);
    EXPECT_EQ(plan.cost().space, 7u);
    EXPECT_EQ(plan.cost().work(), 333u);
}

} // namespace
} // namespace disktool
