// SPDX-License-Identifier: LGPL-2.1-or-later
// A control server on a socket of its own, and requests for it.
#pragma once

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

#include <array>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <mutex>
#include <thread>

namespace disktool::control_test {

using namespace std::chrono_literals;

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

} // namespace disktool::control_test
