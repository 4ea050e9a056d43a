// SPDX-License-Identifier: LGPL-2.1-or-later
// The socket of a device: requests, answers, errors, and those that do not know how to ask.
#include "control_fixture.h"

namespace disktool::control_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

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

} // namespace
} // namespace disktool::control_test
