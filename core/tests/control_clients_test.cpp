// SPDX-License-Identifier: LGPL-2.1-or-later
// The socket of a device: many clients, those that go, and servers that do.
#include "control_fixture.h"

namespace disktool::control_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

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
        const Descriptor asking = raw_client();
        for (const char* request : {"freeze", "keep"}) {
            ASSERT_TRUE(send_packet(asking.get(), ControlMessage{{"version", 1}, {"request", request}}.dump(),
                                    WhenFull::wait));
            EXPECT_EQ(receive_message(asking.get()).message["ok"], true);
        }
        ASSERT_TRUE(send_packet(asking.get(), R"({"version": 1, "request": "long"})", WhenFull::wait));
        EXPECT_TRUE(waiting_.wait());
    }
    gone.say();
    EXPECT_TRUE(noticed.wait());
    EXPECT_TRUE(thawed.wait());
    EXPECT_TRUE(taken_back);
    EXPECT_EQ(client()->ask("hello")["hello"], "you");
}

TEST_F(ControlTest, AClientThatChangesItsMindHearsWhatCameOfIt) {
    std::array<Event, 2> begun;
    for (const bool stops : {true, false}) {
        functions_[stops ? "stops" : "ends"] = [&, stops](ControlRequest& request) {
            EXPECT_FALSE(request.cancelled());
            begun.at(stops ? 1 : 0).say();
            for (int i = 0; i < 1000 && !request.cancelled(); ++i) {
                std::this_thread::sleep_for(10ms);
            }
            EXPECT_TRUE(request.cancelled());
            EXPECT_FALSE(request.abandoned());
            if (stops) {
                throw Error(ErrorCode::interrupted, "stopped");
            }
            return ControlMessage{{"too", "late"}};
        };
    }
    start();
    for (const bool stops : {true, false}) {
        CancelToken cancel;
        ControlClient::Listener listener;
        listener.cancel = &cancel;
        std::thread canceller([&] {
            EXPECT_TRUE(begun.at(stops ? 1 : 0).wait());
            cancel.cancel();
        });
        try {
            const auto asking = client();
            const ControlMessage answer =
                asking->ask(stops ? "stops" : "ends", ControlMessage::object(), listener);
            EXPECT_FALSE(stops);
            EXPECT_EQ(answer["too"], "late");
            EXPECT_THROW(asking->ask("hello"), Error) << "nothing can be asked on it any more";
        } catch (const ControlError& error) {
            EXPECT_TRUE(stops);
            EXPECT_EQ(error.code(), ErrorCode::interrupted);
        }
        canceller.join();
    }
    EXPECT_EQ(client()->ask("hello")["hello"], "you");
}

TEST_F(ControlTest, WhoWaitsForItsTurnMayChangeHisMind) {
    start();
    std::thread first([&] { client()->ask("wait"); });
    ASSERT_TRUE(waiting_.wait());
    CancelToken cancel;
    cancel.cancel();
    ControlClient::Listener listener;
    listener.cancel = &cancel;
    try {
        client()->ask("echo", ControlMessage::object(), listener);
        ADD_FAILURE() << "it had its turn";
    } catch (const ControlError& error) {
        EXPECT_EQ(error.code(), ErrorCode::interrupted);
    }
    go_on_.say();
    first.join();
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
    std::array<int, 2> go{};
    ASSERT_EQ(pipe(go.data()), 0);
    // Before there are threads, which might hold a lock that the child needs.
    const pid_t child = fork();
    if (child == 0) {
        alarm(60);
        char word = 0;
        if (read(go[0], &word, 1) != 1 || setuid(65534) != 0) {
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
    start();
    std::filesystem::permissions(folder_.path(), std::filesystem::perms::all);
    std::filesystem::permissions(path_, std::filesystem::perms::all); // as if its mode did not keep them out
    EXPECT_EQ(write(go[1], "!", 1), 1);
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    EXPECT_EQ(client()->ask("hello")["hello"], "you");
    close(go[0]);
    close(go[1]);
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
} // namespace disktool::control_test
