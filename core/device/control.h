// SPDX-License-Identifier: LGPL-2.1-or-later
// Talking to the process of a running device: a Unix socket (SOCK_SEQPACKET, mode 0600), one JSON object a
// packet.
//
// A client connects, sends one request: {"version": 1, "request": NAME, ...}, and reads answers until the last
// one: {"say": LINE}, {"warning": LINE} and {"done": N, "total": M} come first, any number of them; then {"ok":
// true, ...} or {"error": {"code": "locked", "exit": 37, "reason": "image_in_use", "message": "..."}}. More
// requests may follow on the same connection. A packet has at most 64 KiB; what is larger comes in several
// ("more": true). A version that the server does not know is an error that names those it knows.
#pragma once

#include "block/host_descriptor.h"

#include <disktool/api.h>
#include <disktool/error.h>
#include <disktool/progress.h>

#include <nlohmann/json.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace disktool {

using ControlMessage = nlohmann::ordered_json;

constexpr int control_version = 1;

/// An answer that was an error, with the exit code that the server gave it.
class DISKTOOL_API ControlError : public Error {
  public:
    ControlError(ErrorCode code, int exit, const std::string& sentence, Reason reason)
        : Error(code, sentence, reason), exit_(exit) {}
    int exit() const { return exit_; }

  private:
    int exit_;
};

/// One thread at a time.
class DISKTOOL_API ControlClient {
  public:
    /// Throws Error(not_found) where nobody listens (a dead server), SystemError.
    static std::unique_ptr<ControlClient> connect(const std::string& socket_path);
    ~ControlClient();

    /// What comes before the last answer.
    struct Listener {
        std::function<void(const std::string&)> say = [](const std::string&) {};
        std::function<void(const std::string&)> warn = [](const std::string&) {};
        std::function<void(std::uint64_t done, std::uint64_t total)> progress = [](std::uint64_t,
                                                                                   std::uint64_t) {};
        CancelToken* cancel =
            nullptr; ///< when cancelled: Error(interrupted); the server goes on, or stops, as its request says
    };
    /// The last answer. Throws ControlError for an error; Error(failure) where the server died meanwhile.
    ControlMessage ask(const std::string& request, ControlMessage arguments, const Listener& listener);
    ControlMessage ask(const std::string& request, ControlMessage arguments = ControlMessage::object());

  private:
    explicit ControlClient(Descriptor socket);
    Descriptor socket_;
};

/// What a request's function may use while it works.
class DISKTOOL_API ControlRequest {
  public:
    ControlRequest(int socket, ControlMessage arguments);
    const ControlMessage& arguments() const { return arguments_; }
    void say(const std::string& line);
    void warn(const std::string& line);
    void progress(std::uint64_t done, std::uint64_t total); ///< sent at most ten times a second
    void part(ControlMessage message);                      ///< {"more": true, ...}
    /// Has the client gone? A short look, no waiting.
    bool abandoned() const;

  private:
    void send(const ControlMessage& message);
    int socket_;
    ControlMessage arguments_;
    std::chrono::steady_clock::time_point last_progress_{};
};

/// Answers with what it returns; an Error thrown becomes an error answer. `exit_of` gives its exit code.
using ControlFunction = std::function<ControlMessage(ControlRequest&)>;

/// A thread for each connection; the functions are called one at a time (a request that comes while another is
/// worked on waits for up to 60 s, then gets Error(locked) "another operation is in progress"), but for those
/// named in `at_once`, which may run beside. Peers that are neither root nor our own user are turned away.
class DISKTOOL_API ControlServer {
  public:
    ControlServer(const std::string& socket_path, std::map<std::string, ControlFunction> functions,
                  std::vector<std::string> at_once, std::function<int(const Error&)> exit_of);
    ~ControlServer(); ///< waits for functions that run; closes the socket and removes its name

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace disktool
