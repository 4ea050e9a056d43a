// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/sandbox.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/doors.h>
#include <disktool/error.h>
#include <disktool/progress.h>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

namespace disktool {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Kind = Sandbox::Kind;

class SandboxTest : public testing::TestWithParam<Kind> {
  protected:
    void SetUp() override {
        if (GetParam() == Kind::bubblewrap &&
            test::exit_status_of({"sh", "-c", "bwrap --ro-bind / / true"}) != 0)
            GTEST_SKIP() << "no bubblewrap, or it does not work here";
        if (GetParam() == Kind::own &&
            test::exit_status_of({"unshare", geteuid() == 0 ? "-m" : "-Urm", "true"}) != 0)
            GTEST_SKIP() << "no namespaces here";
        own_ = folder_ / "own";
        other_ = folder_ / "other";
        test::write_file(own_, "mine");
        test::write_file(other_, "secret");
        // The folder is closed to others, as a view's is.
        ASSERT_EQ(chmod(folder_.path().c_str(), 0700), 0);
        ASSERT_EQ(chmod(other_.c_str(), 0666), 0);
        if (geteuid() == 0) {
            ASSERT_EQ(chown(own_.c_str(), Sandbox::user(), Sandbox::group()), 0);
        }
        ASSERT_EQ(chmod(own_.c_str(), 0600), 0);
    }

    CommandResult run(const std::string& script) {
        Command command;
        command.arguments = {"/bin/sh", "-c", script};
        return run(command);
    }
    CommandResult run(const Command& command) { return sandbox_.run(command, {own_}); }

    test::TemporaryFolder folder_;
    std::string own_;
    std::string other_;
    Sandbox sandbox_{real_doors().processes, GetParam()};
};

TEST_P(SandboxTest, PassesInputOutputAndStatus) {
    Command command;
    command.arguments = {"/bin/sh", "-c", "cat; echo err >&2; echo \"$LC_ALL $WORD $HOME$SECRET\"; exit 3"};
    command.input = "in ";
    command.environment = {{"WORD", "given"}};
    setenv("SECRET", "known to the caller alone", 1);
    const CommandResult result = run(command);
    unsetenv("SECRET");
    EXPECT_EQ(result.output, "in C given /tmp\n");
    EXPECT_EQ(result.errors, "err\n");
    EXPECT_EQ(result.exit_status, 3);
    EXPECT_EQ(run("kill -TERM $$").exit_status, 128 + 15);
    EXPECT_EQ(sandbox_.used_bubblewrap(), GetParam() == Kind::bubblewrap);
    EXPECT_THAT(sandbox_.missing(), IsEmpty());
}

TEST_P(SandboxTest, WritesItsFileAndNothingElse) {
    EXPECT_EQ(run("echo changed > " + own_).exit_status, 0);
    EXPECT_EQ(test::read_file(own_), "changed\n");
    for (const std::string place : {"/etc/disktool-test", "/disktool-test", "/usr/disktool-test",
                                    "/var/tmp/disktool-test", "/dev/shm/disktool-test", "/run/disktool-test"}) {
        EXPECT_NE(run("echo x > " + place).exit_status, 0) << place;
        EXPECT_FALSE(std::filesystem::exists(place));
    }
    EXPECT_EQ(run("echo x > /tmp/disktool-test && cat /tmp/disktool-test").output, "x\n")
        << "a /tmp of its own";
    EXPECT_FALSE(std::filesystem::exists("/tmp/disktool-test"));
}

TEST_P(SandboxTest, SeesNoOtherImage) {
    EXPECT_NE(run("cat " + other_).exit_status, 0);
    run("echo x > " + other_);
    EXPECT_EQ(test::read_file(other_), "secret");
    EXPECT_EQ(run("ls " + folder_.path().string()).output, "own\n");
    for (const std::string hidden : {"/root", "/home", "/etc/shadow", "/etc/passwd", "/sys/block", "/var/log"})
        EXPECT_NE(run("ls -d " + hidden).exit_status, 0) << hidden;
    EXPECT_NE(run("dd if=/dev/sda of=/dev/null count=1 || dd if=/dev/vda of=/dev/null count=1").exit_status, 0);
}

TEST_P(SandboxTest, HasNoRights) {
    const std::string status = run("cat /proc/self/status").output;
    for (const char* line :
         {"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
          "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"})
        EXPECT_THAT(status, HasSubstr(line));
    if (geteuid() == 0) {
        EXPECT_THAT(status, HasSubstr("CapBnd:\t0000000000000000"));
        EXPECT_THAT(status, HasSubstr(fmt::format("Uid:\t{0}\t{0}\t{0}\t{0}", Sandbox::user())));
        EXPECT_THAT(status, HasSubstr("Groups:\t \n"));
        EXPECT_GE(Sandbox::user(), 1000u);
    }
    EXPECT_EQ(run("ulimit -c").output, "0\n");
    EXPECT_NE(run("mount -t tmpfs none /tmp").exit_status, 0);
    EXPECT_NE(run("unshare -U true").exit_status, 0);
    EXPECT_NE(run("unshare -r mount -t tmpfs none /tmp").exit_status, 0);
}

TEST_P(SandboxTest, SeesNoOtherProcess) {
    const std::string parent = std::to_string(getpid());
    EXPECT_NE(run("kill -0 " + parent).exit_status, 0);
    EXPECT_EQ(run("ls /proc | grep -c '^[0-9]*$'").output.size(), 2u) << "fewer than ten";
}

TEST_P(SandboxTest, HasNoNetwork) {
    const int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    ASSERT_EQ(bind(listening, any, length), 0);
    ASSERT_EQ(listen(listening, 1), 0);
    ASSERT_EQ(getsockname(listening, any, &length), 0);
    Command command;
    const std::string connect = fmt::format("use Socket; socket(S, PF_INET, SOCK_STREAM, 0) or exit 7; "
                                            "connect(S, sockaddr_in({}, inet_aton('127.0.0.1'))) or exit 8;",
                                            ntohs(address.sin_port));
    command.arguments = {"/usr/bin/perl", "-e", connect};
    EXPECT_EQ(test::exit_status_of(command.arguments), 0) << "outside it can";
    EXPECT_EQ(run(command).exit_status, 7);
    command.arguments[2] = "use Socket; socket(S, PF_UNIX, SOCK_STREAM, 0) or exit 7;";
    EXPECT_EQ(run(command).exit_status, 7);
    EXPECT_THAT(run("cat /proc/net/dev").output, Not(HasSubstr("eth")));
    ::close(listening);
}

/// Any process of the host with this word on its command line.
bool runs(const std::string& word) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        std::ifstream file(entry.path() / "cmdline", std::ios::binary);
        std::string words;
        std::getline(file, words);
        if (words.starts_with("sleep") && words.find(word) != std::string::npos)
            return true;
    }
    return false;
}

bool ends_soon(const std::string& word) {
    for (int i = 0; i < 300 && runs(word); ++i)
        std::this_thread::sleep_for(10ms);
    return !runs(word);
}

TEST_P(SandboxTest, TimeOutEndsAllOfIt) {
    const std::string word = fmt::format("7{}1", getpid());
    Command command;
    command.arguments = {"/bin/sh", "-c",
                         fmt::format("trap '' TERM; sleep {0} & setsid sleep {0} & sleep {0}", word)};
    command.timeout = 500ms;
    const CommandResult result = run(command);
    EXPECT_TRUE(result.timed_out);
    EXPECT_FALSE(result.ok());
    EXPECT_TRUE(ends_soon(word));
}

TEST_P(SandboxTest, CancellingEndsAllOfIt) {
    const std::string word = fmt::format("7{}2", getpid());
    CancelToken cancel;
    Command command;
    command.arguments = {"/bin/sh", "-c", fmt::format("setsid sleep {0} & sleep {0}", word)};
    command.cancel = &cancel;
    std::thread canceller([&] {
        for (int i = 0; i < 500 && !runs(word); ++i)
            std::this_thread::sleep_for(10ms);
        EXPECT_TRUE(runs(word));
        cancel.cancel();
    });
    try {
        run(command);
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::interrupted);
    }
    canceller.join();
    EXPECT_TRUE(ends_soon(word));
}

/// Kills a process that runs `command` in a sandbox as soon as `word` runs in there.
void kill_the_tool(Kind kind, const Command& command, const std::string& word) {
    const pid_t tool = fork();
    if (tool == 0) {
        Sandbox sandbox(real_doors().processes, kind);
        try {
            sandbox.run(command, {});
        } catch (...) {
        }
        _exit(0);
    }
    for (int i = 0; i < 500 && !runs(word); ++i)
        std::this_thread::sleep_for(10ms);
    EXPECT_TRUE(runs(word));
    kill(tool, SIGKILL);
    waitpid(tool, nullptr, 0);
}

TEST_P(SandboxTest, NothingOutlivesAKilledTool) {
    const std::string word = fmt::format("7{}3", getpid());
    Command command;
    command.arguments = {"/bin/sh", "-c", fmt::format("setsid sleep {0} & sleep {0}", word)};
    kill_the_tool(GetParam(), command, word);
    EXPECT_TRUE(ends_soon(word));
}

TEST(SandboxOfBubblewrap, AChildThatItHasNotLetGoYetDoesNotOutliveAKilledTool) {
    const std::string word = fmt::format("7{}4", getpid());
    test::TemporaryFolder folder;
    const std::string path = std::getenv("PATH");
    test::write_file(folder / "bwrap", fmt::format("#!/bin/sh\nsleep {} &\nwait\n", word));
    ASSERT_EQ(chmod((folder / "bwrap").c_str(), 0755), 0);
    setenv("PATH", (folder.path().string() + ":" + path).c_str(), 1);
    Command command;
    command.arguments = {"/bin/true"};
    kill_the_tool(Kind::bubblewrap, command, word);
    setenv("PATH", path.c_str(), 1);
    EXPECT_TRUE(ends_soon(word));
}

TEST(SandboxOfAPoorHost, SaysWhatItGoesWithout) {
    if (geteuid() != 0)
        GTEST_SKIP() << "needs a right to give up";
    // Rights are a thread's own, and its children's.
    std::thread([] {
        ASSERT_EQ(prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0), 0);
        Sandbox sandbox(real_doors().processes, Kind::own);
        Command command;
        command.arguments = {"/bin/sh", "-c", "id -u; cat /proc/self/status"};
        const CommandResult result = sandbox.run(command, {});
        EXPECT_THAT(sandbox.missing(), Contains(HasSubstr("a file tree of its own: Operation not permitted")));
        EXPECT_THAT(sandbox.missing(), Contains(HasSubstr("a network of its own")));
        EXPECT_THAT(result.output, testing::StartsWith(std::to_string(Sandbox::user()))) << "all else it has";
        EXPECT_THAT(result.output, HasSubstr("Seccomp:\t2"));
        EXPECT_THAT(result.output, HasSubstr("CapEff:\t0000000000000000"));
    }).join();
}

TEST_P(SandboxTest, AProgramThatIsNotThereIsAnError) {
    Command command;
    command.arguments = {"/usr/bin/no-such-program"};
    EXPECT_THROW(run(command), Error);
}

INSTANTIATE_TEST_SUITE_P(, SandboxTest, testing::Values(Kind::bubblewrap, Kind::own),
                         [](const auto& kind) { return kind.param == Kind::own ? "own" : "bubblewrap"; });

} // namespace
} // namespace disktool
