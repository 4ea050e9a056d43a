// SPDX-License-Identifier: LGPL-2.1-or-later
// The socket of a device: long answers, many clients, those that go, and those that do not know how to ask.
#include "device/control.h"
#include "device/control_message.h"
#include "support/temporary_folder.h"

#include <disktool/doors.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <mutex>
#include <thread>

namespace disktool {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::chrono_literals;

/// Something that one thread waits for and another one says.
class Event {
  public:
    void say() {
        const std::scoped_lock lock(mutex_);
        said_ = true;
        changed_.notify_all();
    }
    bool wait() {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, 20s, [&] { return said_; });
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool said_ = false;
};

class ControlTest : public testing::Test {
  protected:
    ControlTest() {
        functions_["echo"] = [](ControlRequest& request) { return request.arguments(); };
        functions_["fail"] = [](ControlRequest&) -> ControlMessage {
            throw Error(ErrorCode::damaged, "it is broken", Reason::image_corrupt);
        };
        functions_["crash"] = [](ControlRequest&) -> ControlMessage { throw std::logic_error("a bug"); };
        functions_["wait"] = [this](ControlRequest&) {
            waiting_.say();
            EXPECT_TRUE(go_on_.wait());
            return ControlMessage::object();
        };
        functions_["hello"] = [](ControlRequest&) { return ControlMessage{{"hello", "you"}}; };
        options_.at_once = {"hello"};
        options_.exit_of = [](const Error& error) { return 30 + static_cast<int>(error.code()); };
    }
    void start() { server_ = std::make_unique<ControlServer>(path_, functions_, options_); }
    std::unique_ptr<ControlClient> client() { return ControlClient::connect(path_); }
    /// A socket without the manners of ControlClient.
    Descriptor raw_client() {
        Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        Descriptor folder;
        const sockaddr_un address = socket_address(path_, folder);
        EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        const timeval patience{20, 0};
        setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        return socket;
    }

    test::TemporaryFolder folder_;
    std::string path_ = folder_ / "a.sock";
    std::map<std::string, ControlFunction> functions_;
    ControlServerOptions options_;
    Event waiting_, go_on_;
    std::unique_ptr<ControlServer> server_;
};

TEST_F(ControlTest, AnswersOneRequestAfterAnother) {
    start();
    const auto asking = client();
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(asking->ask("echo", {{"number", i}, {"text", "a\n\"b\""}})["number"], i);
    }
    EXPECT_EQ(asking->ask("hello"), (ControlMessage{{"hello", "you"}}));
    struct stat status {};
    ASSERT_EQ(stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode, S_IFSOCK | 0600u);
}

TEST_F(ControlTest, ErrorsKeepWhatTheySay) {
    start();
    const auto asking = client();
    try {
        asking->ask("fail");
        ADD_FAILURE() << "no error";
    } catch (const ControlError& error) {
        EXPECT_STREQ(error.what(), "it is broken");
        EXPECT_EQ(error.code(), ErrorCode::damaged);
        EXPECT_EQ(error.reason(), Reason::image_corrupt);
        EXPECT_EQ(error.exit(), 37);
    }
    try {
        asking->ask("crash");
        ADD_FAILURE() << "no error";
    } catch (const ControlError& error) {
        EXPECT_STREQ(error.what(), "Internal error: a bug");
    }
    EXPECT_EQ(asking->ask("hello")["hello"], "you") << "it goes on after an error";
}

TEST_F(ControlTest, EveryCodeAndReasonComesThrough) {
    for (const ErrorCode code :
         {ErrorCode::failure, ErrorCode::usage, ErrorCode::not_found, ErrorCode::locked, ErrorCode::no_space,
          ErrorCode::unsupported, ErrorCode::damaged, ErrorCode::size_impossible, ErrorCode::program_missing,
          ErrorCode::recovery, ErrorCode::interrupted}) {
        for (const Reason reason : {Reason::none, Reason::format_not_supported, Reason::job_not_recoverable}) {
            try {
                throw_error(error_message(Error(code, "x", reason), 5)["error"]);
            } catch (const ControlError& error) {
                EXPECT_EQ(error.code(), code);
                EXPECT_EQ(error.reason(), reason);
            }
        }
    }
}

TEST_F(ControlTest, LinesAndProgressComeBeforeTheAnswer) {
    functions_["work"] = [](ControlRequest& request) {
        request.say("first");
        request.warn("careful");
        for (std::uint64_t i = 0; i < 1000; ++i) {
            request.progress(i, 1000);
        }
        request.say(std::string(100'000, 'x'));
        return ControlMessage::object();
    };
    start();
    std::vector<std::string> said, warned;
    int progress = 0;
    ControlClient::Listener listener;
    listener.say = [&](const std::string& line) { said.push_back(line); };
    listener.warn = [&](const std::string& line) { warned.push_back(line); };
    listener.progress = [&](std::uint64_t, std::uint64_t total) { progress += total == 1000; };
    EXPECT_THAT(client()->ask("work", ControlMessage::object(), listener), IsEmpty());
    ASSERT_EQ(said.size(), 2u);
    EXPECT_EQ(said[0], "first");
    EXPECT_EQ(said[1].size(), 16u << 10) << "a line has its limit";
    EXPECT_THAT(warned, ElementsAre("careful"));
    EXPECT_GE(progress, 1);
    EXPECT_LT(progress, 100) << "not all of them";
}

TEST_F(ControlTest, LongAnswersComeInPartsAndAreWhole) {
    functions_["long"] = [](ControlRequest& request) {
        request.part({{"ranges", {{-1, -1}}}});
        ControlMessage answer{{"ranges", ControlMessage::array()},
                              {"state", {{"name", "ploop0"}, {"images", ControlMessage::array()}}},
                              {"short", {1, 2}}};
        for (int i = 0; i < 100'000; ++i) {
            answer["ranges"].push_back({i, 1});
        }
        for (int i = 0; i < 130; ++i) {
            answer["state"]["images"].push_back({{"path", std::string(4000, 'a')}, {"inode", i}});
        }
        return answer;
    };
    functions_["hopeless"] = [](ControlRequest&) { return ControlMessage{{"text", std::string(70'000, 'x')}}; };
    functions_["hopeless_part"] = [](ControlRequest&) {
        return ControlMessage{{"list", {std::string(70'000, 'x')}}};
    };
    start();
    const auto asking = client();
    const ControlMessage answer = asking->ask("long");
    ASSERT_EQ(answer["ranges"].size(), 100'001u);
    for (int i = -1; i < 100'000; ++i) {
        ASSERT_EQ(answer["ranges"][static_cast<std::size_t>(i + 1)][0], i);
    }
    EXPECT_EQ(answer["state"]["images"].size(), 130u);
    EXPECT_EQ(answer["state"]["images"][129]["inode"], 129);
    EXPECT_EQ(answer["state"]["name"], "ploop0");
    EXPECT_EQ(answer["short"], (ControlMessage{1, 2}));
    EXPECT_FALSE(answer.contains("more"));
    EXPECT_THROW(asking->ask("hopeless"), ControlError);
    EXPECT_THROW(asking->ask("hopeless_part"), ControlError);
    EXPECT_EQ(asking->ask("hello")["hello"], "you");
}

TEST_F(ControlTest, WhatIsNotUtf8IsRefusedInRequestsAndReplacedInAnswers) {
    functions_["odd"] = [](ControlRequest&) {
        return ControlMessage{{"text", "\xff"
                                       "b"}};
    };
    start();
    const auto asking = client();
    EXPECT_EQ(asking->ask("odd")["text"], "\xef\xbf\xbd"
                                          "b");
    EXPECT_THROW(asking->ask("echo", {{"text", "\xff"}}), Error);
    EXPECT_THROW(asking->ask("echo", {{"text", std::string(70'000, 'x')}}), Error);
    EXPECT_EQ(asking->ask("hello")["hello"], "you");
}

TEST_F(ControlTest, UnknownVersionsAndRequestsAreNamed) {
    start();
    const auto asking = client();
    for (const ControlMessage& version :
         {ControlMessage(2), ControlMessage(0), ControlMessage("1"), ControlMessage()}) {
        try {
            asking->ask("hello", {{"version", version}});
            ADD_FAILURE() << version;
        } catch (const ControlError& error) {
            EXPECT_EQ(error.code(), ErrorCode::unsupported);
            EXPECT_THAT(error.what(), HasSubstr("version 1"));
        }
    }
    const Descriptor raw = raw_client();
    ASSERT_TRUE(send_packet(raw.get(), R"({"version": 9, "request": "hello"})", WhenFull::wait));
    EXPECT_EQ(receive_message(raw.get()).message["versions"], (ControlMessage{1}));
    EXPECT_THROW(asking->ask("no such thing"), ControlError);
    EXPECT_THROW(asking->ask("hello", {{"request", 3}}), ControlError);
}

TEST_F(ControlTest, GarbageIsAnsweredAndHarmsNobody) {
    start();
    const Descriptor raw = raw_client();
    for (const std::string& packet :
         {std::string("x"), std::string("[]"), std::string("{"), std::string("3"), std::string("\0\0", 2),
          std::string(60'000, '['), std::string(100'000, ' '), std::string("{\"version\": 1}"),
          "{\"version\": 1, \"request\": " + std::string(50'000, '[') + std::string(50, ']') + "}"}) {
        ASSERT_TRUE(send_packet(raw.get(), packet, WhenFull::wait)) << packet.substr(0, 20);
        const Received answer = receive_message(raw.get());
        ASSERT_EQ(answer.kind, Received::Kind::message) << packet.substr(0, 20);
        EXPECT_TRUE(answer.message.contains("error")) << packet.substr(0, 20);
    }
    ASSERT_TRUE(send_packet(raw.get(), R"({"version": 1, "request": "hello"})", WhenFull::wait));
    EXPECT_EQ(receive_message(raw.get()).message["hello"], "you");
}

TEST_F(ControlTest, OneAtATimeButForThoseThatMay) {
    options_.patience = 200ms;
    start();
    std::thread first([&] { client()->ask("wait"); });
    ASSERT_TRUE(waiting_.wait());
    EXPECT_EQ(client()->ask("hello")["hello"], "you");
    const auto begin = std::chrono::steady_clock::now();
    try {
        client()->ask("echo");
        ADD_FAILURE() << "beside another";
    } catch (const ControlError& error) {
        EXPECT_EQ(error.code(), ErrorCode::locked);
        EXPECT_THAT(error.what(), HasSubstr("another operation is in progress"));
    }
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 200ms);
    go_on_.say();
    first.join();
    EXPECT_EQ(client()->ask("echo", {{"x", 1}})["x"], 1);
}

TEST_F(ControlTest, ManyClientsAreServedInTurn) {
    std::atomic<int> inside = 0, together = 0;
    functions_["count"] = [&](ControlRequest&) {
        together += ++inside > 1;
        std::this_thread::sleep_for(1ms);
        --inside;
        return ControlMessage::object();
    };
    start();
    std::vector<std::thread> threads;
    std::atomic<int> answered = 0;
    for (int i = 0; i < 40; ++i) {
        threads.emplace_back([&] {
            const auto asking = client();
            for (int round = 0; round < 5; ++round) {
                asking->ask("count");
                answered += asking->ask("hello")["hello"] == "you";
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(answered, 200);
    EXPECT_EQ(together, 0);
}

TEST_F(ControlTest, TooManyAreTurnedAwayUntilSomeGo) {
    start();
    std::vector<std::unique_ptr<ControlClient>> clients;
    for (int i = 0; i < 64; ++i) {
        clients.push_back(client());
        clients.back()->ask("hello");
    }
    try {
        client()->ask("hello");
        ADD_FAILURE() << "65 at once";
    } catch (const ControlError& error) {
        EXPECT_EQ(error.code(), ErrorCode::locked);
    }
    clients.clear();
    for (int attempt = 0;; ++attempt) { // the server notices in its own time
        try {
            EXPECT_EQ(client()->ask("hello")["hello"], "you");
            break;
        } catch (const Error&) {
            ASSERT_LT(attempt, 100);
            std::this_thread::sleep_for(50ms);
        }
    }
}

TEST_F(ControlTest, AClientThatGoesIsNoticedAndItsFarewellsAreDone) {
    Event gone, thawed, noticed;
    std::atomic<bool> taken_back = true;
    functions_["freeze"] = [&](ControlRequest& request) {
        request.when_gone("thaw", [&] { thawed.say(); });
        request.when_gone("other", [&] { taken_back = false; });
        return ControlMessage::object();
    };
    functions_["keep"] = [&](ControlRequest& request) {
        request.when_gone("other", {});
        return ControlMessage::object();
    };
    functions_["long"] = [&](ControlRequest& request) {
        EXPECT_FALSE(request.abandoned());
        waiting_.say();
        EXPECT_TRUE(gone.wait());
        for (int i = 0; i < 1000 && !request.abandoned(); ++i) {
            std::this_thread::sleep_for(10ms);
        }
        EXPECT_TRUE(request.abandoned());
        request.say("to nobody");
        EXPECT_THROW(request.part({{"list", {1}}}), Error);
        noticed.say();
        return ControlMessage::object();
    };
    start();
    {
        const auto asking = client();
        asking->ask("freeze");
        asking->ask("keep");
        CancelToken cancel;
        ControlClient::Listener listener;
        listener.cancel = &cancel;
        std::thread canceller([&] {
            EXPECT_TRUE(waiting_.wait());
            cancel.cancel();
        });
        try {
            asking->ask("long", ControlMessage::object(), listener);
            ADD_FAILURE() << "not interrupted";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::interrupted);
        }
        canceller.join();
        gone.say();
        EXPECT_THROW(asking->ask("hello"), Error) << "the connection has ended";
    }
    EXPECT_TRUE(noticed.wait());
    EXPECT_TRUE(thawed.wait());
    EXPECT_TRUE(taken_back);
    EXPECT_EQ(client()->ask("hello")["hello"], "you");
}

TEST_F(ControlTest, AClientThatDoesNotReadHoldsNobodyUp) {
    functions_["talk"] = [](ControlRequest& request) {
        for (int i = 0; i < 20'000; ++i) {
            request.say("a line, and another one, and another one");
        }
        return ControlMessage::object();
    };
    start();
    const Descriptor deaf = raw_client();
    ASSERT_TRUE(send_packet(deaf.get(), R"({"version": 1, "request": "talk"})", WhenFull::wait));
    EXPECT_EQ(client()->ask("echo", {{"x", 2}})["x"], 2);
}

TEST_F(ControlTest, WaitingRequestsOfThoseWhoHaveGoneAreNotRun) {
    std::atomic<int> runs = 0;
    functions_["count"] = [&](ControlRequest&) {
        ++runs;
        return ControlMessage::object();
    };
    start();
    std::thread first([&] { client()->ask("wait"); });
    ASSERT_TRUE(waiting_.wait());
    {
        const Descriptor raw = raw_client();
        ASSERT_TRUE(send_packet(raw.get(), R"({"version": 1, "request": "count"})", WhenFull::wait));
        std::this_thread::sleep_for(100ms);
    }
    go_on_.say();
    first.join();
    client()->ask("echo");
    EXPECT_EQ(runs, 0);
}

TEST_F(ControlTest, TheEndWaitsForWhatRunsAndItsAnswer) {
    start();
    const auto idle = client();
    idle->ask("hello");
    std::atomic<bool> answered = false;
    std::thread first([&] {
        client()->ask("wait");
        answered = true;
    });
    ASSERT_TRUE(waiting_.wait());
    std::thread later([&] {
        std::this_thread::sleep_for(200ms);
        go_on_.say();
    });
    server_.reset();
    later.join();
    first.join();
    EXPECT_TRUE(answered);
    EXPECT_THROW(idle->ask("hello"), Error);
    EXPECT_FALSE(std::filesystem::exists(path_));
    try {
        (void)client();
        ADD_FAILURE() << "nobody is there";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::not_found);
    }
}

TEST_F(ControlTest, AKilledServerIsAnErrorAndItsNameIsTakenAgain) {
    std::array<int, 2> ready{};
    ASSERT_EQ(pipe(ready.data()), 0);
    const pid_t child = fork();
    if (child == 0) {
        functions_["die"] = [](ControlRequest& request) -> ControlMessage {
            request.say("farewell");
            kill(getpid(), SIGKILL);
            return {};
        };
        start();
        (void)!write(ready[1], "y", 1);
        for (;;) {
            pause();
        }
    }
    char letter = 'n';
    ASSERT_EQ(read(ready[0], &letter, 1), 1);
    std::vector<std::string> said;
    ControlClient::Listener listener;
    listener.say = [&](const std::string& line) { said.push_back(line); };
    const auto asking = client();
    try {
        asking->ask("die", ControlMessage::object(), listener);
        ADD_FAILURE() << "an answer of a dead server";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::failure);
        EXPECT_THAT(error.what(), HasSubstr("has ended"));
    }
    EXPECT_THAT(said, ElementsAre("farewell"));
    waitpid(child, nullptr, 0);
    try {
        (void)client();
        ADD_FAILURE() << "nobody is there";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::not_found);
        EXPECT_THAT(error.what(), HasSubstr("has died"));
    }
    start();
    EXPECT_EQ(client()->ask("hello")["hello"], "you");
}

TEST_F(ControlTest, OtherUsersAreTurnedAway) {
    if (geteuid() != 0) {
        GTEST_SKIP() << "not root";
    }
    start();
    std::filesystem::permissions(folder_.path(), std::filesystem::perms::all);
    std::filesystem::permissions(path_, std::filesystem::perms::all); // as if its mode did not keep them out
    const pid_t child = fork();
    if (child == 0) {
        if (setuid(65534) != 0) {
            _exit(1);
        }
        try {
            client()->ask("hello");
            _exit(2);
        } catch (const ControlError& error) {
            _exit(std::string(error.what()).find("Only root") == std::string::npos ? 3 : 0);
        } catch (const std::exception&) {
            _exit(4);
        }
    }
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 0);
    EXPECT_EQ(client()->ask("hello")["hello"], "you");
}

TEST_F(ControlTest, ArgumentsAreLookedAt) {
    functions_["take"] = [](ControlRequest& request) {
        return ControlMessage{{"text", request.text("text")},
                              {"other", request.text("other", "usual")},
                              {"number", request.number("number")},
                              {"flag", request.flag("flag")}};
    };
    start();
    const auto asking = client();
    EXPECT_EQ(asking->ask("take", {{"text", "a"}, {"number", 3}}),
              (ControlMessage{{"text", "a"}, {"other", "usual"}, {"number", 3}, {"flag", false}}));
    for (const ControlMessage& bad : {ControlMessage{{"number", 3}}, ControlMessage{{"text", 3}, {"number", 3}},
                                      ControlMessage{{"text", "a"}, {"number", -3}},
                                      ControlMessage{{"text", "a"}, {"number", 3}, {"flag", "yes"}},
                                      ControlMessage{{"text", "a"}, {"number", 3}, {"other", nullptr}}}) {
        EXPECT_THROW(asking->ask("take", bad), ControlError) << bad;
    }
}

TEST_F(ControlTest, APathMayBeLongerThanAnAddress) {
    std::string folder = folder_.path();
    while (folder.size() < 150) {
        folder += "/a folder with a long name";
    }
    std::filesystem::create_directories(folder);
    path_ = folder + "/ploop0.sock";
    start();
    EXPECT_EQ(client()->ask("hello")["hello"], "you");
    server_.reset();
    EXPECT_FALSE(std::filesystem::exists(path_));
}

} // namespace
} // namespace disktool
