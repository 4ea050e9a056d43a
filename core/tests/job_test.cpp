// SPDX-License-Identifier: LGPL-2.1-or-later
// Jobs on an image of the test format (tests/plugins), with steps that write a letter each behind its text.
#include "plan/job.h"
#include "support/recording_door.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <functional>

namespace disktool {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string original = "test-format\n....";

/// Writes its letter at its place; `then` runs after that. Undoing puts the dot back.
class LetterStep final : public Step {
  public:
    using Action = std::function<void(StepContext&)>;
    LetterStep(File& file, std::size_t place, Action then = {}, Action undone = {})
        : file_(file), place_(place), then_(std::move(then)), undone_(std::move(undone)) {}

    std::string kind() const override { return "test.letter"; }
    std::string text() const override { return std::string("write ") + letter(); }
    Cost cost() const override { return {.written = 100}; }
    std::string needs_no_undo() const override { return ""; }
    void commit(StepContext& context) override {
        put(letter());
        if (then_) {
            then_(context);
        }
    }
    void undo(StepContext& context) override {
        put('.');
        if (undone_) {
            undone_(context);
        }
    }

  private:
    char letter() const { return static_cast<char>('a' + place_); }
    void put(char letter) {
        file_.write(original.size() - 4 + place_, std::as_bytes(std::span(&letter, 1)));
        file_.sync();
    }

    File& file_;
    std::size_t place_;
    Action then_;
    Action undone_;
};

class ProgressRecord final : public ProgressSink {
  public:
    void update(const State& state) override {
        states.push_back(std::to_string(state.index + 1) + "/" + std::to_string(state.steps) + " " +
                         std::string(state.step) + " " + std::to_string(state.done) + " of " +
                         std::to_string(state.total));
    }
    void finished(bool success) override { end = success ? "done" : "failed"; }
    std::vector<std::string> states;
    std::string end;
};

class JobTest : public testing::Test {
  protected:
    JobTest() { test::write_file(image_, original); }

    std::unique_ptr<Session> open(FileDoor& files) {
        return Session::open({files, real_doors().processes}, registry_, image_, {.access = Access::write});
    }
    std::unique_ptr<Session> open() { return open(real_doors().files); }
    std::string letters() const { return test::read_file(image_).substr(original.size() - 4); }
    bool record_exists() const { return std::filesystem::exists(record_); }

    /// Runs letters a, b, c; `then` belongs to b.
    JobReport run(Session& session, LetterStep::Action then, const JobOptions& options = {}) {
        Plan plan("compact", image_);
        plan.add(std::make_unique<LetterStep>(session.file(), 0, LetterStep::Action(), undone_a_));
        plan.add(std::make_unique<LetterStep>(session.file(), 1, std::move(then), undone_b_));
        plan.add(std::make_unique<LetterStep>(session.file(), 2));
        return run_job(session, plan, options);
    }
    template <typename Action>
    std::string sentence(ErrorCode code, Action action) {
        try {
            action();
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), code) << error.what();
            return error.what();
        }
        return "nothing was thrown";
    }
    /// A run that is killed in its second step leaves its record.
    void leave_a_record() {
        const pid_t child = ::fork();
        if (child == 0) {
            const std::unique_ptr<Session> session = open();
            run(*session, [](StepContext&) { ::raise(SIGKILL); });
            ::_exit(0);
        }
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status));
        ASSERT_TRUE(record_exists());
    }

    test::TemporaryFolder folder_;
    std::string image_ = (std::filesystem::canonical(folder_.path()) / "disk").string();
    std::string record_ = job_record_path(image_);
    Registry registry_{{DISKTOOL_BUILD_DIR "/tests/plugins", DISKTOOL_BUILD_DIR "/lib/disktool/plugins"}};
    LetterStep::Action undone_a_;
    LetterStep::Action undone_b_;
};

TEST_F(JobTest, DoesTheStepsAndReports) {
    const std::unique_ptr<Session> session = open();
    ProgressRecord progress;
    const JobReport report = run(*session,
                                 [](StepContext& context) {
                                     context.advance(30);
                                     context.report("bytes_freed", 5);
                                     context.report("bytes_freed", 6);
                                     context.warn("it is dark");
                                     context.advance(1000); // more than was planned
                                 },
                                 {.progress = &progress});
    EXPECT_EQ(letters(), "abc.");
    EXPECT_FALSE(record_exists());
    EXPECT_EQ(report.figures, (std::map<std::string, std::uint64_t>{{"bytes_freed", 11}}));
    EXPECT_THAT(report.warnings, ElementsAre("it is dark"));
    EXPECT_EQ(progress.end, "done");
    EXPECT_THAT(progress.states,
                ElementsAre("1/3 write a 0 of 300", "1/3 write a 100 of 300", "2/3 write b 100 of 300",
                            "2/3 write b 130 of 300", "2/3 write b 200 of 300", "2/3 write b 200 of 300",
                            "3/3 write c 200 of 300", "3/3 write c 300 of 300"));
}

TEST_F(JobTest, NothingToDoTouchesNothing) {
    test::RecordingDoor door(std::filesystem::canonical(folder_.path()));
    const std::unique_ptr<Session> session = open(door);
    Plan plan("compact", image_);
    EXPECT_TRUE(run_job(*session, plan, {}).figures.empty());
    EXPECT_TRUE(door.changes().empty());
}

TEST_F(JobTest, TheRecordSaysWhatTheJobIs) {
    const std::unique_ptr<Session> session = open();
    std::optional<JobRecord> record;
    run(*session, [&](StepContext& context) { record = read_job_record(context.doors(), image_); });
    ASSERT_TRUE(record.has_value());
    EXPECT_EQ(record->version, 1);
    EXPECT_EQ(record->verb, "compact");
    EXPECT_EQ(record->recovery, "mend");
    EXPECT_EQ(record->pid, ::getpid());
    EXPECT_EQ(record->step, 1u);
    ASSERT_EQ(record->steps.size(), 3u);
    EXPECT_EQ(record->steps[2], (std::pair<std::string, std::string>("test.letter", "write c")));
    EXPECT_THAT(record->started, testing::MatchesRegex("20[0-9-]+T[0-9:]+Z"));
    ASSERT_EQ(record->files.size(), 1u);
    EXPECT_EQ(record->files[0].path, image_);
    EXPECT_EQ(record->files[0].size, original.size());
    EXPECT_EQ(record->files[0].header_hash, "66d3c3874de9e333");
    EXPECT_TRUE(record_matches(*record, session->file().status()));
}

TEST_F(JobTest, AtEveryCutAChangedImageHasItsRecord) {
    test::RecordingDoor door(std::filesystem::canonical(folder_.path()));
    {
        const std::unique_ptr<Session> session = open(door);
        run(*session, {});
    }
    test::TemporaryFolder after;
    std::size_t with_record = 0;
    for (const std::size_t cut : door.cuts()) {
        for (const test::Survivors survivors :
             {test::Survivors::all, test::Survivors::synced, test::Survivors::random}) {
            SCOPED_TRACE(door.describe(cut));
            door.materialise(cut, survivors, after.path(), 7);
            const std::string text = test::read_file(after / "disk");
            const std::optional<JobRecord> record = read_job_record(real_doors(), after / "disk");
            if (record) {
                ++with_record;
                EXPECT_LE(record->step, 2u);
            } else {
                EXPECT_TRUE(text == original || text == "test-format\nabc.") << text;
            }
        }
    }
    EXPECT_GT(with_record, 10u);
}

TEST_F(JobTest, AFailureIsUndoneLastStepFirst) {
    const std::unique_ptr<Session> session = open();
    std::string order;
    undone_a_ = [&](StepContext&) { order += "a"; };
    undone_b_ = [&](StepContext&) { order += "b"; };
    ProgressRecord progress;
    EXPECT_EQ(sentence(ErrorCode::no_space,
                       [&] {
                           run(*session,
                               [](StepContext&) { throw Error(ErrorCode::no_space, "The disk is full"); },
                               {.progress = &progress});
                       }),
              "The disk is full");
    EXPECT_EQ(letters(), "....");
    EXPECT_EQ(order, "ba");
    EXPECT_EQ(progress.end, "failed");
    EXPECT_FALSE(record_exists());
}

TEST_F(JobTest, AnInterruptionIsUndoneWithoutBeingInterruptedAgain) {
    const std::unique_ptr<Session> session = open();
    CancelToken token;
    undone_a_ = [](StepContext& context) { context.cancel().check(); };
    sentence(ErrorCode::interrupted, [&] {
        run(*session, [&](StepContext&) { token.cancel(); }, {.cancel = &token}); // stops before step c
    });
    EXPECT_TRUE(token.cancelled());
    EXPECT_EQ(letters(), "....");
    EXPECT_FALSE(record_exists());
}

TEST_F(JobTest, CancelledBeforeItBeginsItChangesNothing) {
    const std::unique_ptr<Session> session = open();
    CancelToken token;
    token.cancel();
    undone_a_ = [](StepContext&) { ADD_FAILURE() << "a step was undone that never ran"; };
    sentence(ErrorCode::interrupted, [&] { run(*session, {}, {.cancel = &token}); });
    EXPECT_EQ(letters(), "....");
    EXPECT_FALSE(record_exists());
}

TEST_F(JobTest, AfterAnErrorOfTheHostTheRecordStays) {
    test::RecordingDoor door(std::filesystem::canonical(folder_.path()));
    const std::unique_ptr<Session> session = open(door);
    const std::string said = sentence(ErrorCode::failure, [&] {
        run(*session, [&](StepContext&) {
            door.fail_sync(1, EIO);
            session->file().sync();
        });
    });
    EXPECT_THAT(said, HasSubstr("The record " + record_ + " stays"));
    EXPECT_EQ(letters(), "ab.."); // nothing more was written to a host that fails
    EXPECT_EQ(read_job_record(real_doors(), image_)->step, 1u);
}

TEST_F(JobTest, WhenUndoingFailsTheRecordStays) {
    const std::unique_ptr<Session> session = open();
    undone_b_ = [](StepContext&) { throw Error(ErrorCode::failure, "undoing is beyond me"); };
    EXPECT_THAT(sentence(ErrorCode::failure,
                         [&] { run(*session, [](StepContext&) { throw std::runtime_error("trouble"); }); }),
                AllOf(HasSubstr("trouble"), HasSubstr("undoing is beyond me"), HasSubstr(record_ + " stays")));
    EXPECT_TRUE(record_exists());
}

TEST_F(JobTest, WithoutARecordNothingIsChanged) {
    test::RecordingDoor door(std::filesystem::canonical(folder_.path()));
    const std::unique_ptr<Session> session = open(door);
    door.fail_change(1, EROFS);
    EXPECT_THAT(sentence(ErrorCode::not_found, [&] { run(*session, {}); }),
                AllOf(HasSubstr("cannot be written"), HasSubstr("nothing was changed"), HasSubstr(record_),
                      HasSubstr("Read-only file system")));
    EXPECT_EQ(letters(), "....");
    EXPECT_FALSE(record_exists());
}

TEST_F(JobTest, WhenTheRecordOfALaterStepFailsItIsUndone) {
    test::RecordingDoor door(std::filesystem::canonical(folder_.path()));
    const std::unique_ptr<Session> session = open(door);
    sentence(ErrorCode::no_space, [&] { run(*session, [&](StepContext&) { door.fail_change(1, ENOSPC); }); });
    EXPECT_TRUE(door.failed());
    EXPECT_EQ(letters(), "....");
    EXPECT_FALSE(record_exists());
    EXPECT_FALSE(std::filesystem::exists(record_ + ".new"));
}

TEST_F(JobTest, WhatWasLentToAChildComesBack) {
    const std::unique_ptr<Session> session = open();
    const std::unique_ptr<File> other = real_doors().files.open(image_, {});
    const auto qemu_could_write = [&] { return other->could_lock_bytes({201, 1}, LockMode::exclusive); };
    ASSERT_FALSE(qemu_could_write());
    run(*session, [&](StepContext& context) {
        context.lend_image_to_child();
        EXPECT_TRUE(qemu_could_write());
        context.take_image_back();
        EXPECT_FALSE(qemu_could_write());
    });
    bool back_when_undone = false;
    undone_b_ = [&](StepContext&) { back_when_undone = !qemu_could_write(); };
    sentence(ErrorCode::failure, [&] {
        run(*session, [](StepContext& context) {
            context.lend_image_to_child();
            throw Error(ErrorCode::failure, "the child failed");
        });
    });
    EXPECT_TRUE(back_when_undone);
}

TEST_F(JobTest, AStepThatNeedsAnApplianceWhereThereIsNone) {
    const std::unique_ptr<Session> session = open();
    EXPECT_THAT(sentence(ErrorCode::program_missing,
                         [&] { run(*session, [](StepContext& context) { context.appliance(); }); }),
                HasSubstr("appliance"));
    EXPECT_EQ(letters(), "....");
}

TEST_F(JobTest, AKilledJobIsMended) {
    leave_a_record();
    test::write_file(record_ + ".new", "a record that was being written");
    test::write_file(image_, original + "torn"); // in place: the same file
    {
        const std::unique_ptr<Session> session = open();
        const std::optional<std::string> found = recover_job(*session, {}, false);
        ASSERT_TRUE(found.has_value());
        EXPECT_THAT(*found, AllOf(HasSubstr("interrupted compact job"), HasSubstr("step 2 of 3: write b"),
                                  HasSubstr("the next run that changes the image mends")));
        EXPECT_TRUE(record_exists());
        EXPECT_EQ(test::read_file(image_), original + "torn");

        EXPECT_THAT(recover_job(*session, {}, true).value_or(""), HasSubstr("what it left was mended"));
        EXPECT_EQ(test::read_file(image_), original + "well");
        EXPECT_FALSE(record_exists());
        EXPECT_FALSE(std::filesystem::exists(record_ + ".new"));
        EXPECT_EQ(session->image().info().path, image_);
        EXPECT_EQ(recover_job(*session, {}, true), std::nullopt);
    }
}

TEST_F(JobTest, MendingThatIsCutShortIsDoneAgain) {
    leave_a_record();
    test::write_file(image_, original + "torn");
    test::RecordingDoor door(std::filesystem::canonical(folder_.path()));
    const std::unique_ptr<Session> session = open(door);
    recover_job(*session, {}, true);
    test::TemporaryFolder after;
    for (const std::size_t cut : door.cuts()) {
        SCOPED_TRACE(door.describe(cut));
        door.materialise(cut, test::Survivors::synced, after.path());
        EXPECT_TRUE(test::read_file(after / "disk") == original + "well" ||
                    std::filesystem::exists(after / "disk.disktool-job"));
    }
}

TEST_F(JobTest, ARecordOfAnotherFileIsLeftAlone) {
    leave_a_record();
    std::filesystem::copy(image_, folder_ / "copy");
    std::filesystem::rename(folder_ / "copy", image_); // the name, but another inode
    const std::unique_ptr<Session> session = open();
    for (const bool act : {false, true}) {
        EXPECT_THAT(
            sentence(ErrorCode::recovery, [&] { recover_job(*session, {}, act); }),
            AllOf(HasSubstr(record_), HasSubstr("another file (" + image_), HasSubstr("remove the record")));
    }
    EXPECT_TRUE(record_exists());
}

TEST_F(JobTest, ARecordThatCannotBeUnderstood) {
    leave_a_record();
    const std::string good = test::read_file(record_);
    const std::unique_ptr<Session> session = open();
    nlohmann::ordered_json newer = nlohmann::ordered_json::parse(good);
    newer["version"] = 2;
    nlohmann::ordered_json other_way = nlohmann::ordered_json::parse(good);
    other_way["recovery"] = "roll-back";
    for (const std::string& text :
         {std::string(), std::string("{"), std::string("[]"), std::string("{\"version\": 1}"),
          good.substr(0, good.size() / 2), newer.dump(), other_way.dump(), std::string((16 << 20) + 1, ' '),
          std::string(100000, '[')}) {
        test::write_file(record_, text);
        EXPECT_THAT(
            sentence(ErrorCode::recovery, [&] { recover_job(*session, {}, true); }),
            AllOf(HasSubstr(record_), HasSubstr("cannot be understood"), HasSubstr("remove the record")));
        EXPECT_TRUE(record_exists());
    }
    std::filesystem::remove(record_);
    std::filesystem::create_directory(record_);
    sentence(ErrorCode::recovery, [&] { recover_job(*session, {}, true); });
}

TEST_F(JobTest, WhatCannotBeMendedKeepsItsRecord) {
    leave_a_record();
    test::write_file(image_, original + "torn beyond repair");
    const std::unique_ptr<Session> session = open();
    EXPECT_THAT(sentence(ErrorCode::recovery, [&] { recover_job(*session, {}, true); }),
                AllOf(HasSubstr("mending what it left failed"), HasSubstr("beyond repair")));
    EXPECT_TRUE(record_exists());
}

} // namespace
} // namespace disktool
