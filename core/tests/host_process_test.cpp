// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/fake_process_door.h"
#include "support/temporary_folder.h"

#include <disktool/doors.h>
#include <disktool/error.h>
#include <disktool/log.h>
#include <disktool/progress.h>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <thread>

namespace disktool {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

Command shell(const std::string& script) {
    Command command;
    command.arguments = {"sh", "-c", script};
    return command;
}

milliseconds duration_of(const std::function<void()>& action) {
    const auto start = std::chrono::steady_clock::now();
    action();
    return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start);
}

bool alive(int pid) {
    return kill(pid, 0) == 0 || errno != ESRCH;
}

/// The dead of a group that is not ours to reap vanish when init has looked.
bool dies_soon(int pid) {
    for (int i = 0; i < 200 && alive(pid); ++i)
        std::this_thread::sleep_for(10ms);
    return !alive(pid);
}

int number_in(const std::string& path) {
    for (int i = 0; i < 500; ++i) {
        if (const auto status = real_doors().files.status(path); status && status->size > 0)
            return std::stoi(test::read_file(path));
        std::this_thread::sleep_for(10ms);
    }
    ADD_FAILURE() << path << " was not written";
    return 0;
}

class HostProcess : public testing::Test {
  protected:
    test::TemporaryFolder folder_;
    ProcessDoor& door_ = real_doors().processes;
};

TEST_F(HostProcess, GivesOutputAndStatus) {
    const CommandResult result = door_.run(shell("echo out; echo err >&2; exit 3"));
    EXPECT_EQ(result.output, "out\n");
    EXPECT_EQ(result.errors, "err\n");
    EXPECT_EQ(result.exit_status, 3);
    EXPECT_FALSE(result.timed_out);
    EXPECT_FALSE(result.ok());
    EXPECT_TRUE(door_.run(shell("true")).ok());
    EXPECT_EQ(door_.run(shell("kill -USR1 $$")).exit_status, 128 + SIGUSR1);
}

TEST_F(HostProcess, PassesArgumentsAsTheyAre) {
    Command command;
    command.arguments = {"printf", "%s|", "two words", "$HOME", "", "*", "a'b"};
    EXPECT_EQ(door_.run(command).output, "two words|$HOME||*|a'b|");
}

TEST_F(HostProcess, FeedsInputAndElseNothing) {
    Command command = shell("wc -c");
    command.input = std::string(300'000, 'x');
    EXPECT_EQ(std::stoi(door_.run(command).output), 300'000);
    command.input.clear();
    EXPECT_EQ(std::stoi(door_.run(command).output), 0);
    // Who does not read it ends nobody.
    command = shell("exec true");
    command.input = std::string(300'000, 'x');
    EXPECT_TRUE(door_.run(command).ok());
}

TEST_F(HostProcess, KeepsOutputUpToTheLimitAndReadsTheRest) {
    Command command =
        shell("head -c 1000000 /dev/zero; head -c 500000 /dev/zero >&2; echo end > " + (folder_ / "end"));
    command.output_limit = 1000;
    const CommandResult result = door_.run(command);
    EXPECT_TRUE(result.ok());
    EXPECT_EQ(result.output, std::string(1000, '\0'));
    EXPECT_EQ(result.errors.size(), 1000u);
    EXPECT_EQ(test::read_file(folder_ / "end"), "end\n");
    command.output_limit = 2'000'000;
    EXPECT_EQ(door_.run(command).output.size(), 1'000'000u);
}

TEST_F(HostProcess, SetsTheEnvironment) {
    setenv("DISKTOOL_TEST_KEPT", "kept", 1);
    setenv("DISKTOOL_TEST_CHANGED", "old", 1);
    Command command;
    command.arguments = {"env"};
    command.environment = {{"DISKTOOL_TEST_CHANGED", "new"}, {"LC_ALL", "fr_FR"}};
    const std::string output = "\n" + door_.run(command).output;
    EXPECT_THAT(output, HasSubstr("\nDISKTOOL_TEST_KEPT=kept\n"));
    EXPECT_THAT(output, HasSubstr("\nDISKTOOL_TEST_CHANGED=new\n"));
    EXPECT_THAT(output, Not(HasSubstr("=old\n")));
    EXPECT_THAT(output, HasSubstr("\nLC_ALL=C\n"));
    EXPECT_THAT(output, Not(HasSubstr("fr_FR")));
    EXPECT_THAT(output, Not(HasSubstr("LISTEN_PID")));
}

TEST_F(HostProcess, TellsTheChildItsOwnPid) {
    Command command = shell("echo $LISTEN_PID $$");
    command.listen_pid = true;
    const std::string output = door_.run(command).output;
    const std::size_t space = output.find(' ');
    ASSERT_NE(space, std::string::npos);
    EXPECT_GT(std::stoi(output), 1);
    EXPECT_EQ(std::stoi(output), std::stoi(output.substr(space)));
}

TEST_F(HostProcess, PassesDescriptorsOnAndNoOthers) {
    test::write_file(folder_ / "a", "content of a");
    test::write_file(folder_ / "b", "content of b");
    const int a = open((folder_ / "a").c_str(), O_RDONLY | O_CLOEXEC);
    const int b = open((folder_ / "b").c_str(), O_RDONLY); // as a careless library would
    ASSERT_GE(a, 0);
    ASSERT_GE(b, 0);
    Command command = shell("cat <&7; echo; cat <&8; echo; ls /proc/self/fd | wc -l");
    command.descriptors = {{a, 7}, {b, 8}};
    // 0, 1, 2, 7, 8, and the one by which ls reads the folder.
    EXPECT_EQ(door_.run(command).output, "content of a\ncontent of b\n6\n");
    // Each to the other's number, which a shell may not know how to name.
    command =
        shell("cat /proc/self/fd/" + std::to_string(a) + "; echo; cat /proc/self/fd/" + std::to_string(b));
    command.descriptors = {{a, b}, {b, a}};
    EXPECT_EQ(door_.run(command).output, "content of b\ncontent of a");
    EXPECT_EQ(door_.run(shell("ls /proc/self/fd | wc -l")).output, "4\n");
    close(a);
    close(b);
}

TEST_F(HostProcess, NamesAProgramThatIsMissing) {
    Command command;
    command.arguments = {"disktool-no-such-program", "x"};
    try {
        door_.run(command);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::program_missing);
        EXPECT_EQ(error.reason(), Reason::program_missing);
        EXPECT_THAT(error.what(), HasSubstr("disktool-no-such-program is not installed"));
    }
    command.arguments = {folder_ / "missing"};
    EXPECT_THROW(door_.run(command), Error);
    test::write_file(folder_ / "script", "#!/no/such/interpreter\n");
    chmod((folder_ / "script").c_str(), 0755);
    command.arguments = {folder_ / "script"};
    try {
        door_.start(command);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::program_missing);
        EXPECT_THAT(error.what(), HasSubstr("No such file"));
    }
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1); // no zombie is left
}

TEST_F(HostProcess, TimeOutEndsTheWholeGroup) {
    Command command = shell("sleep 60 & echo $! > " + (folder_ / "pid") + "; wait");
    command.timeout = 300ms;
    CommandResult result;
    const milliseconds took = duration_of([&] { result = door_.run(command); });
    EXPECT_TRUE(result.timed_out);
    EXPECT_FALSE(result.ok());
    EXPECT_GE(took, 300ms);
    EXPECT_LT(took, 1900ms); // SIGTERM was enough
    EXPECT_TRUE(dies_soon(number_in(folder_ / "pid")));
}

TEST_F(HostProcess, WhoIgnoresSigtermIsKilled) {
    Command command = shell("trap '' TERM; echo ready; while :; do sleep 0.1; done");
    command.timeout = 200ms;
    CommandResult result;
    const milliseconds took = duration_of([&] { result = door_.run(command); });
    EXPECT_TRUE(result.timed_out);
    EXPECT_EQ(result.exit_status, 128 + SIGKILL);
    EXPECT_EQ(result.output, "ready\n");
    EXPECT_GE(took, 2000ms);
    EXPECT_LT(took, 4000ms);
}

TEST_F(HostProcess, CancellingEndsTheGroupSoon) {
    CancelToken cancel;
    Command command = shell("sleep 60 & echo $! > " + (folder_ / "pid") + "; wait");
    command.cancel = &cancel;
    std::thread canceller([&] {
        number_in(folder_ / "pid");
        cancel.cancel();
    });
    ErrorCode code = ErrorCode::failure;
    const milliseconds took = duration_of([&] {
        try {
            door_.run(command);
        } catch (const Error& error) {
            code = error.code();
        }
    });
    canceller.join();
    EXPECT_EQ(code, ErrorCode::interrupted);
    EXPECT_LT(took, 1900ms);
    EXPECT_TRUE(dies_soon(number_in(folder_ / "pid")));
}

TEST_F(HostProcess, SignalsAreDefaultAndGroupIsItsOwn) {
    signal(SIGUSR2, SIG_IGN);
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    const std::string status = door_.run(shell("exec cat /proc/self/status")).output;
    const std::string group = door_.run(shell("exec ps -o pgid= -o pid= -p $$")).output;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    signal(SIGUSR2, SIG_DFL);
    EXPECT_THAT(status, HasSubstr("SigBlk:\t0000000000000000"));
    EXPECT_THAT(status, HasSubstr("SigIgn:\t0000000000000000"));
    const std::size_t second =
        group.find_first_of("0123456789", group.find(' ', group.find_first_of("0123456789")));
    ASSERT_NE(second, std::string::npos) << group;
    EXPECT_EQ(std::stoi(group), std::stoi(group.substr(second)));
    EXPECT_NE(std::stoi(group), getpgrp());
}

TEST_F(HostProcess, ChildDiesWithUs) {
    const std::string pid_file = folder_ / "pid";
    const pid_t middle = fork();
    if (middle == 0) {
        const auto process = real_doors().processes.start(shell("echo $$ > " + pid_file + "; exec sleep 60"));
        number_in(pid_file);
        raise(SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(waitpid(middle, &status, 0), middle);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_TRUE(dies_soon(number_in(pid_file)));
}

TEST_F(HostProcess, RunsBesideUs) {
    const auto process = door_.start(shell("read line; echo got $line; sleep 60"));
    EXPECT_GT(process->pid(), 1);
    EXPECT_TRUE(process->running());
    EXPECT_FALSE(process->wait(50ms).has_value());
    process->terminate();
    EXPECT_FALSE(process->running());
    const auto result = process->wait(0ms);
    ASSERT_TRUE(result.has_value());
    EXPECT_EQ(result->exit_status, 128 + SIGTERM);
    EXPECT_EQ(result->output, "got\n");
    EXPECT_FALSE(result->timed_out);
    process->terminate(); // once more does no harm
}

TEST_F(HostProcess, NeverWaitsForUsToReadItsOutput) {
    const auto process = door_.start(shell("head -c 5000000 /dev/zero; exit 7"));
    for (int i = 0; i < 500 && process->running(); ++i)
        std::this_thread::sleep_for(10ms);
    EXPECT_FALSE(process->running());
    const auto result = process->wait(10s);
    ASSERT_TRUE(result.has_value());
    EXPECT_EQ(result->exit_status, 7);
    EXPECT_EQ(result->output.size(), 5'000'000u);
}

TEST_F(HostProcess, DestroyingItEndsItsGroup) {
    const auto process_of = [&] { return number_in(folder_ / "pid"); };
    {
        const auto process = door_.start(shell("sleep 60 & echo $! > " + (folder_ / "pid") + "; wait"));
        EXPECT_TRUE(alive(process_of()));
    }
    EXPECT_TRUE(dies_soon(process_of()));
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
}

TEST_F(HostProcess, DoesNotWaitForAGrandchildThatHoldsThePipe) {
    CommandResult result;
    const milliseconds took = duration_of([&] { result = door_.run(shell("echo begun; sleep 5 & exit 0")); });
    EXPECT_TRUE(result.ok());
    EXPECT_EQ(result.output, "begun\n");
    EXPECT_LT(took, 3000ms);
}

TEST_F(HostProcess, LogsCommandsAndTheOutputOfFailures) {
    std::vector<std::string> lines;
    set_log_receiver([&](LogLevel level, std::string_view line) {
        lines.push_back((level == LogLevel::debug ? "debug " : "info ") + std::string(line));
    });
    door_.run(shell("echo fine"));
    door_.run(shell("echo why; exit 2"));
    set_log_receiver({});
    EXPECT_THAT(lines,
                testing::ElementsAre("debug run: sh -c 'echo fine'", HasSubstr("debug exit status 0 after"),
                                     "debug run: sh -c 'echo why; exit 2'",
                                     HasSubstr("debug exit status 2 after"), "info output of sh:\nwhy\n"));
}

TEST_F(HostProcess, RunCheckedSaysWhyItFailed) {
    EXPECT_EQ(door_.run_checked(shell("echo fine")).output, "fine\n");
    const auto sentence_of = [&](const Command& command) -> std::string {
        try {
            door_.run_checked(command);
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::program_missing);
            return error.what();
        }
        return "nothing was thrown";
    };
    EXPECT_EQ(sentence_of(shell("echo out; echo first >&2; echo last >&2; exit 4")),
              "\"sh -c 'echo out; echo first >&2; echo last >&2; exit 4'\" failed with exit status 4: last");
    EXPECT_EQ(sentence_of(shell("echo out; exit 4")),
              "\"sh -c 'echo out; exit 4'\" failed with exit status 4: out");
    EXPECT_THAT(sentence_of(shell("kill -9 $$")), HasSubstr("was ended by signal 9"));
    Command slow = shell("sleep 60");
    slow.timeout = 50ms;
    EXPECT_THAT(sentence_of(slow), HasSubstr("did not end within"));
}

TEST(CommandText, QuotesForTheShell) {
    Command command;
    command.arguments = {"qemu-img", "resize", "a b", "", "it's", "/x/y.qcow2", "--opt=1,2", "$x"};
    EXPECT_EQ(command.text(), "qemu-img resize 'a b' '' 'it'\\''s' /x/y.qcow2 --opt=1,2 '$x'");
    Command echo;
    echo.arguments = {"sh", "-c", "printf '%s|' " + command.text()};
    EXPECT_EQ(real_doors().processes.run(echo).output, "qemu-img|resize|a b||it's|/x/y.qcow2|--opt=1,2|$x|");
}

TEST(FakeProcessDoor, AnswersFromItsTable) {
    test::FakeProcessDoor door;
    CommandResult fine, full;
    fine.output = "fine";
    full.exit_status = 1;
    full.errors = "No space left on device";
    door.answer({"qemu-img"}, fine);
    door.answer({"qemu-img", "resize"}, full);
    door.miss("qemu-nbd");
    Command command;
    command.arguments = {"qemu-img", "info", "x"};
    EXPECT_EQ(door.run(command).output, "fine");
    command.arguments = {"qemu-img", "resize", "x"};
    EXPECT_THROW(door.run_checked(command), Error);
    const auto process = door.start(command);
    EXPECT_FALSE(process->running());
    EXPECT_EQ(process->wait(0ms)->exit_status, 1);
    command.arguments = {"qemu-nbd", "x"};
    EXPECT_THROW(door.start(command), Error);
    ASSERT_EQ(door.asked().size(), 4u);
    EXPECT_EQ(door.asked()[1].text(), "qemu-img resize x");
}

TEST(FakeProcessDoor, FailsTheTestOrPassesOn) {
    test::FakeProcessDoor strict;
    EXPECT_NONFATAL_FAILURE(EXPECT_ANY_THROW(strict.run(shell("true"))), "no answer for: sh -c true");
    test::FakeProcessDoor open(test::FakeProcessDoor::Unmatched::pass_on);
    EXPECT_EQ(open.run(shell("echo real")).output, "real\n");
    EXPECT_EQ(open.start(shell("exit 5"))->wait(10s)->exit_status, 5);
}

} // namespace
} // namespace disktool
