// SPDX-License-Identifier: LGPL-2.1-or-later
// Talking to the process of a running device: a Unix socket (SOCK_SEQPACKET, mode 0600), one JSON object a
// packet.
//
// A client connects, sends one request: {"version": 1, "request": NAME, ...}, and reads answers until the last
// one: {"say": LINE}, {"warning": LINE} and {"done": N, "total": M} come first, any number of them; then {"ok":
// true, ...} or {"error": {"code": "locked", "exit": 37, "reason": "image_in_use", "message": "..."}}. More
// requests may follow on the same connection. A client that changes its mind shuts its sending half down and
// still waits for the answer: an error ("interrupted") where the request could be stopped, else what came of
// it. One that just goes away changes nothing. A version that the server does not know is an error that names
// those it knows ("versions": [1]).
//
// A packet has at most 64 KiB. An answer that has more comes in several: those before the last bear "more":
// true, and their arrays are the beginnings of the answer's arrays of the same names (also in objects of the
// same names). A request is one packet.
#pragma once

#include "block/host_descriptor.h"

#include <disktool/api.h>
#include <disktool/error.h>
#include <disktool/progress.h>

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
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
        /// When cancelled, the server is told, and its answer waited for: ControlError(interrupted), or what
        /// came of the request where it could not be stopped any more. No other request may follow.
        CancelToken* cancel = nullptr;
    };
    /// The last answer, with what came in parts. Throws ControlError for an error; Error(failure) where the
    /// server died meanwhile, or talks nonsense; Error(usage) for arguments that are too long or not UTF-8.
    ControlMessage ask(const std::string& request, ControlMessage arguments, const Listener& listener);
    ControlMessage ask(const std::string& request, ControlMessage arguments = ControlMessage::object());

  private:
    ControlClient(Descriptor socket, std::string path) : socket_(std::move(socket)), path_(std::move(path)) {}
    ControlMessage receive(const Listener& listener);
    Descriptor socket_;
    std::string path_; ///< for messages
};

/// What a request's function may use while it works. A client that does not read holds nobody up: lines and
/// progress that it has no room for are dropped (lines go to the log).
class DISKTOOL_API ControlRequest {
  public:
    /// Actions for the end of a connection, by a name of their own.
    using Farewells = std::map<std::string, std::function<void()>>;
    /// `farewells`, may be null: when_gone() does nothing then.
    ControlRequest(int socket, ControlMessage arguments, Farewells* farewells = nullptr)
        : socket_(socket), arguments_(std::move(arguments)), farewells_(farewells) {}
    const ControlMessage& arguments() const { return arguments_; }
    // Arguments by type; Error(usage) for one of another type. Without a default it must be there.
    std::string text(const char* name) const;
    std::string text(const char* name, const std::string& otherwise) const;
    std::uint64_t number(const char* name) const;
    bool flag(const char* name) const; ///< false where it is not there

    void say(const std::string& line);
    void warn(const std::string& line);
    void progress(std::uint64_t done, std::uint64_t total); ///< sent at most ten times a second
    /// {"more": true, ...}. Waits for a slow client, for a minute; then, and when it has gone,
    /// Error(interrupted).
    void part(ControlMessage message);
    /// Has the client gone? A short look, no waiting.
    bool abandoned() const;
    /// Is it there, and wants the request to be stopped? A short look.
    bool cancelled() const;
    /// What is to be done when the connection ends, however it does; an empty function takes back what was said
    /// under that name. Runs in the connection's thread, beside other requests: never throws.
    void when_gone(const std::string& name, std::function<void()> action);
    /// Has something been said under that name on this connection?
    bool has_farewell(const std::string& name) const {
        return farewells_ != nullptr && farewells_->contains(name);
    }

  private:
    int socket_;
    ControlMessage arguments_;
    Farewells* farewells_;
    std::chrono::steady_clock::time_point last_progress_{};
};

/// Answers with what it returns; an Error thrown becomes an error answer. `exit_of` gives its exit code.
using ControlFunction = std::function<ControlMessage(ControlRequest&)>;

struct ControlServerOptions {
    std::vector<std::string> at_once; ///< requests that may run beside others
    std::function<int(const Error&)> exit_of = [](const Error& error) {
        return static_cast<int>(error.code());
    };
    std::chrono::milliseconds patience{60'000}; ///< of a request for its turn
};

/// A thread for each connection, 64 at most; the functions are called one at a time (a request that comes while
/// another is worked on waits for up to `patience`, then gets Error(locked) "another operation is in
/// progress"), but for those named in `at_once`, which may run beside. Peers that are neither root nor our own
/// user are turned away.
class DISKTOOL_API ControlServer {
  public:
    /// A socket of that name is replaced: whoever has the device's number owns the name. Throws SystemError.
    ControlServer(const std::string& socket_path, std::map<std::string, ControlFunction> functions,
                  ControlServerOptions options);
    ~ControlServer(); ///< waits for functions that run, and their answers; removes the socket's name

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace disktool
