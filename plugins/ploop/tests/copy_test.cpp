// SPDX-License-Identifier: LGPL-2.1-or-later
// Both sides of `ploop copy`, connected by a pipe: what is sent, in which records, and what becomes of
// failures.
#include "block/host_descriptor.h"
#include "copy_send.h"
#include "header.h"
#include "little_endian.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <deque>
#include <filesystem>
#include <functional>
#include <future>
#include <thread>

namespace disktool::ploop {
namespace {

using disktool::test::read_file;
using disktool::test::TemporaryFolder;
using disktool::test::write_file;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint64_t cluster = 32 << 10;

int exit_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& error) {
        return exit_code_of(error);
    }
    return 0;
}

/// A running disk whose file is changed between the looks, as a script says.
class ScriptedSource final : public CopySource {
  public:
    ScriptedSource(std::string path, std::uint64_t size) : path_(std::move(path)), size_(size) {}
    Image start_tracking() override {
        calls.emplace_back("track");
        return {path_, size_, cluster, raw};
    }
    std::vector<Range> changes() override {
        calls.emplace_back("changes");
        if (script.empty()) {
            return {};
        }
        const std::function<std::vector<Range>()> next = script.front();
        script.pop_front();
        return next();
    }
    void stop_tracking() override { calls.emplace_back("stop tracking"); }
    void freeze() override {
        calls.emplace_back("freeze");
        if (freeze_fails) {
            throw PloopError(Exit::device_ioctl, ErrorCode::failure, "no");
        }
    }
    void thaw() override { calls.emplace_back("thaw"); }

    /// The next answers of changes().
    std::deque<std::function<std::vector<Range>()>> script;
    std::vector<std::string> calls;
    bool raw = false;
    bool freeze_fails = false;

  private:
    std::string path_;
    std::uint64_t size_;
};

class Copy : public ::testing::Test {
  protected:
    Copy() {
        signal(SIGPIPE, SIG_IGN);
        std::string content = "WithouFreSpacExt";
        for (std::uint64_t i = content.size(); i < 3 * cluster + 1000; ++i) {
            content += static_cast<char>('a' + i / 100 % 26);
        }
        const std::uint32_t mark = in_use_mark;
        content.replace(44, 4, reinterpret_cast<const char*>(&mark), 4);
        write_file(image_, content);
    }
    std::string closed() const {
        std::string content = read_file(image_);
        content.replace(44, 4, std::string(4, '\0'));
        return content;
    }
    /// Written to the image by whoever uses the disk.
    std::function<std::vector<Range>()> writes(std::uint64_t offset, const std::string& text) {
        return [this, offset, text] {
            const auto file = real_doors().files.open(image_, {.write = true});
            file->write(offset, std::as_bytes(std::span(text)));
            return std::vector<Range>{{offset / cluster * cluster, cluster}};
        };
    }
    ScriptedSource source() { return {image_, std::filesystem::file_size(image_)}; }

    /// Sender and receiver with a feedback line; each gives its exit code.
    std::pair<int, int> copy(ScriptedSource& from, SendOptions options = {}, bool kill_receiver = false) {
        std::array<int, 2> data{}, answers{};
        EXPECT_EQ(pipe(data.data()), 0);
        EXPECT_EQ(pipe(answers.data()), 0);
        auto receiver = std::async(std::launch::async, [&, kill_receiver] {
            int exit = 0;
            if (!kill_receiver) {
                exit = exit_of([&] { receive_copy(real_doors(), copy_, data[0], answers[1], nullptr); });
            }
            close(data[0]);
            close(answers[1]);
            return exit;
        });
        const int sent = exit_of([&] {
            const auto target = stream_target(data[1], answers[0], nullptr);
            send_copy(real_doors(), from, *target, options);
        });
        close(data[1]);
        const int received = receiver.get();
        close(answers[0]);
        return {sent, received};
    }

    TemporaryFolder folder_;
    std::string image_ = (folder_.path() / "image").string();
    std::string copy_ = (folder_.path() / "copy").string();
};

TEST_F(Copy, IsTheFileOfAClosedImage) {
    ScriptedSource from = source();
    EXPECT_EQ(copy(from), (std::pair{0, 0}));
    EXPECT_EQ(read_file(copy_), closed());
    EXPECT_THAT(from.calls, ElementsAre("track", "changes", "freeze", "changes", "stop tracking", "thaw"));
}

TEST_F(Copy, WhatIsWrittenMeanwhileComesAfter) {
    ScriptedSource from = source();
    from.script = {writes(cluster + 5, "first"), writes(cluster + 7, "second"),
                   [] { return std::vector<Range>{}; }, writes(3 * cluster, "last"),
                   writes(4 * cluster, "the file grows")};
    EXPECT_EQ(copy(from), (std::pair{0, 0}));
    std::string expected = closed();
    expected.resize(5 * cluster); // ranges are whole clusters
    EXPECT_EQ(read_file(copy_), expected);
}

TEST_F(Copy, ARawImageHasNoHeaderToClose) {
    ScriptedSource from = source();
    from.raw = true;
    EXPECT_EQ(copy(from), (std::pair{0, 0}));
    EXPECT_EQ(read_file(copy_), read_file(image_));
}

TEST_F(Copy, EndsTenRoundsOrOneFileLater) {
    ScriptedSource ten = source();
    for (int i = 0; i < 10; ++i) {
        ten.script.push_back([] { return std::vector<Range>{{0, 512}}; });
    }
    EXPECT_EQ(copy(ten), (std::pair{0, 0}));
    EXPECT_EQ(std::ranges::count(ten.calls, "changes"), 11);
    EXPECT_EQ(ten.calls[11], "freeze");

    std::filesystem::remove(copy_);
    ScriptedSource much = source();
    for (int i = 0; i < 3; ++i) {
        much.script.push_back([] { return std::vector<Range>{{0, 4 * cluster}}; });
    }
    EXPECT_EQ(copy(much), (std::pair{0, 0}));
    // The first round is as long as the file, which has grown by it; the second is more.
    EXPECT_THAT(much.calls, ElementsAre("track", "changes", "changes", "freeze", "changes", "changes",
                                        "stop tracking", "thaw"));
}

TEST_F(Copy, AFrozenDiskThatChangesIsGivenUp) {
    ScriptedSource from = source();
    from.script.push_back([] { return std::vector<Range>{}; });
    for (int i = 0; i < 4; ++i) {
        from.script.push_back([] { return std::vector<Range>{{0, 512}}; });
    }
    EXPECT_EQ(copy(from), (std::pair{14, 6}));
    EXPECT_FALSE(std::filesystem::exists(copy_));
    EXPECT_EQ(from.calls.back(), "thaw");
    EXPECT_THAT(from.calls, ::testing::Contains("stop tracking"));
}

TEST_F(Copy, NothingStaysFrozenOrTrackedAfterAFailure) {
    const auto expect_ended = [](const ScriptedSource& from) {
        EXPECT_THAT(from.calls, ::testing::Contains("stop tracking"));
        const auto count = [&](const char* call) { return std::ranges::count(from.calls, call); };
        EXPECT_EQ(count("freeze"), count("thaw"));
    };
    ScriptedSource stopped = source();
    SendOptions options;
    options.stop = [] { throw PloopError(Exit::stop_command, ErrorCode::failure, "it failed"); };
    EXPECT_EQ(copy(stopped, options), (std::pair{12, 6}));
    expect_ended(stopped);

    ScriptedSource unfrozen = source();
    unfrozen.freeze_fails = true;
    EXPECT_EQ(copy(unfrozen), (std::pair{3, 6}));
    expect_ended(unfrozen);

    ScriptedSource deaf = source();
    EXPECT_EQ(copy(deaf, {}, true).first, 7);
    expect_ended(deaf);

    ScriptedSource cancelled = source();
    CancelToken cancel;
    options = {};
    options.cancel = &cancel;
    options.progress = [&](std::uint64_t, std::uint64_t) { cancel.cancel(); };
    EXPECT_EQ(copy(cancelled, options), (std::pair{1, 6}));
    expect_ended(cancelled);
}

TEST_F(Copy, BadAnswersEndIt) {
    for (const auto& [answer, exit] :
         {std::pair{"FAILURE\n", 16}, std::pair{"whatever", 13}, std::pair{"SUCC", 6}}) {
        ScriptedSource from = source();
        std::array<int, 2> data{}, answers{};
        ASSERT_EQ(pipe(data.data()), 0);
        ASSERT_EQ(pipe(answers.data()), 0);
        std::thread drain([&] {
            std::array<char, 65536> buffer{};
            while (read(data[0], buffer.data(), buffer.size()) > 0) {
            }
        });
        ASSERT_EQ(write(answers[1], answer, std::strlen(answer)), static_cast<ssize_t>(std::strlen(answer)));
        close(answers[1]);
        EXPECT_EQ(
            exit_of([&] { send_copy(real_doors(), from, *stream_target(data[1], answers[0], nullptr), {}); }),
            exit)
            << answer;
        close(data[1]);
        drain.join();
        close(data[0]);
        close(answers[0]);
        EXPECT_THAT(from.calls, ElementsAre("track", "changes", "stop tracking")) << answer;
    }
}

TEST_F(Copy, IntoAFileWithoutRecords) {
    write_file(copy_, std::string(9 * cluster, 'x')); // what a longer one held before
    ScriptedSource from = source();
    from.script = {writes(2 * cluster, "changed")};
    const auto file = real_doors().files.open(copy_, {.write = true});
    send_copy(real_doors(), from, *file_target(*file), {});
    EXPECT_EQ(read_file(copy_), closed());
}

/// The records as the original writes them (captured: docs/ploop-format.md): the file by clusters, the first 4
/// bytes as "sync now", 512 bytes of the closed header, the end.
TEST_F(Copy, RecordsAreThoseOfTheOriginal) {
    ScriptedSource from = source();
    from.script = {[] { return std::vector<Range>{{cluster, cluster}}; }};
    std::array<int, 2> data{}, answers{};
    ASSERT_EQ(pipe(data.data()), 0);
    ASSERT_EQ(pipe(answers.data()), 0);
    ASSERT_EQ(write(answers[1], "SUCCESS\n", 8), 8);
    std::string stream;
    std::thread drain([&] {
        std::array<char, 65536> buffer{};
        for (ssize_t got = 0; (got = read(data[0], buffer.data(), buffer.size())) > 0;) {
            stream.append(buffer.data(), static_cast<std::size_t>(got));
        }
    });
    send_copy(real_doors(), from, *stream_target(data[1], answers[0], nullptr), {});
    close(data[1]);
    drain.join();
    for (const int descriptor : {data[0], answers[0], answers[1]}) {
        close(descriptor);
    }
    const std::string file = read_file(image_);
    const auto record = [](std::uint32_t size, std::uint64_t position) {
        std::array<std::byte, 16> head{};
        put<std::uint32_t>(head, 0, 0x4cc0ac3d);
        put<std::uint32_t>(head, 4, size);
        put<std::uint64_t>(head, 8, position);
        return std::string(reinterpret_cast<const char*>(head.data()), head.size());
    };
    std::string expected;
    for (std::uint64_t at = 0; at < 3; ++at) {
        expected += record(cluster, at * cluster) + file.substr(at * cluster, cluster);
    }
    expected += record(1000, 3 * cluster) + file.substr(3 * cluster);
    expected += record(cluster, cluster) + file.substr(cluster, cluster);
    expected += record(4, 0) + file.substr(0, 4);
    expected += record(512, 0) + closed().substr(0, 512);
    expected += record(0, 0);
    EXPECT_TRUE(stream == expected) << stream.size() << " bytes instead of " << expected.size();
}

} // namespace
} // namespace disktool::ploop
