// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/control_message.h"

#include <disktool/log.h>

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <list>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

namespace disktool {

namespace {

constexpr std::size_t most_connections = 64;
constexpr int most_waiting = 64; // for accept()
constexpr timeval answer_patience{60, 0};
constexpr std::chrono::milliseconds look_for_end{100};
constexpr int look_again = 100; // ms, where the host has no more descriptors or threads

/// One request at a time. Threads: any.
class Turn {
  public:
    /// False: nobody gets one any more, or the time is over, or nobody wants this one.
    bool take(std::chrono::milliseconds patience, const std::function<bool()>& unwanted) {
        const auto end = std::chrono::steady_clock::now() + patience;
        const auto free = [&] { return !taken_ || closed_; };
        std::unique_lock lock(mutex_);
        while (!changed_.wait_for(lock, std::min(patience, look_for_end), free)) {
            if (std::chrono::steady_clock::now() >= end || unwanted()) {
                return false;
            }
        }
        if (closed_) {
            return false;
        }
        taken_ = true;
        return true;
    }
    void give_back() {
        const std::scoped_lock lock(mutex_);
        taken_ = false;
        changed_.notify_one();
    }
    void close() {
        const std::scoped_lock lock(mutex_);
        closed_ = true;
        changed_.notify_all();
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool taken_ = false;
    bool closed_ = false;
};

struct Connection {
    explicit Connection(Descriptor accepted) : socket(std::move(accepted)) {}
    Descriptor socket;
    std::thread thread;
    std::atomic<bool> done = false;
};

bool may_ask(int socket) {
    ucred peer{};
    socklen_t length = sizeof peer;
    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

} // namespace

struct ControlServer::Impl {
    std::string path;
    std::map<std::string, ControlFunction> functions;
    ControlServerOptions options;
    Descriptor listener, end; ///< end: an eventfd
    Turn turn;
    std::list<Connection> connections; ///< of the accepting thread alone, after the start
    std::thread accepting;

    void listen();
    void accept_connections();
    void add_connection(Descriptor socket);
    void remove_done();
    void serve(int socket);
    void serve_requests(int socket, ControlRequest::Farewells& farewells);
    ControlMessage answer_to(int socket, ControlMessage message, ControlRequest::Farewells& farewells);
    ControlMessage answer_in_turn(const std::string& name, const ControlFunction& function,
                                  ControlRequest& request);
    ControlMessage guarded(const std::function<ControlMessage()>& work) const;
    ControlMessage answer_with(const Error& error) const {
        return error_message(error, options.exit_of(error));
    }
};

void ControlServer::Impl::listen() {
    listener = Descriptor(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    end = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!listener || !end) {
        throw SystemError("Cannot make the socket", path, errno);
    }
    Descriptor folder;
    const sockaddr_un address = socket_address(path, folder);
    if (unlink(path.c_str()) != 0 && errno != ENOENT) {
        throw SystemError("Cannot remove", path, errno);
    }
    // The name takes its mode from the socket, so that there is no moment in which others may connect.
    if (fchmod(listener.get(), 0600) != 0 ||
        bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener.get(), most_waiting) != 0) {
        throw SystemError("Cannot listen on", path, errno);
    }
}

void ControlServer::Impl::accept_connections() {
    for (;;) {
        std::array<pollfd, 2> looks{pollfd{listener.get(), POLLIN, 0}, pollfd{end.get(), POLLIN, 0}};
        poll(looks.data(), looks.size(), -1);
        remove_done();
        if (looks[1].revents != 0) {
            return;
        }
        Descriptor socket(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (socket) {
            add_connection(std::move(socket));
        } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            log(LogLevel::warning, fmt::format("{}: cannot accept a connection: {}", path,
                                               std::generic_category().message(errno)));
            poll(&looks[1], 1, look_again);
        }
    }
}

void ControlServer::Impl::add_connection(Descriptor socket) {
    const auto turn_away = [&](ErrorCode code, const std::string& why) {
        send_packet(socket.get(), packets_of(answer_with(Error(code, why))).front(), WhenFull::drop);
    };
    if (!may_ask(socket.get())) {
        log(LogLevel::warning, fmt::format("{}: a user who may not ask was turned away", path));
        turn_away(ErrorCode::not_found, "Only root may ask the process of a device");
        return;
    }
    if (connections.size() >= most_connections) {
        turn_away(ErrorCode::locked, "The process of the device has too many who ask it: try again later");
        return;
    }
    setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &answer_patience, sizeof answer_patience);
    Connection& connection = connections.emplace_back(std::move(socket));
    try {
        connection.thread = std::thread([this, &connection] {
            serve(connection.socket.get());
            shutdown(connection.socket.get(), SHUT_RDWR);
            connection.done = true;
        });
    } catch (const std::system_error& error) {
        log(LogLevel::warning, fmt::format("{}: no thread for a connection: {}", path, error.what()));
        connections.pop_back();
    }
}

void ControlServer::Impl::remove_done() {
    connections.remove_if([](Connection& connection) {
        if (connection.done) {
            connection.thread.join();
        }
        return connection.done.load();
    });
}

ControlMessage ControlServer::Impl::guarded(const std::function<ControlMessage()>& work) const {
    try {
        return work();
    } catch (const Error& error) {
        return answer_with(error);
    } catch (const std::bad_alloc&) {
        return answer_with(Error(ErrorCode::failure, "The process of the device is out of memory"));
    } catch (const std::exception& error) {
        return answer_with(Error(ErrorCode::failure, fmt::format("Internal error: {}", error.what())));
    }
}

ControlMessage ControlServer::Impl::answer_in_turn(const std::string& name, const ControlFunction& function,
                                                   ControlRequest& request) {
    const bool alone = std::find(options.at_once.begin(), options.at_once.end(), name) == options.at_once.end();
    const auto unwanted = [&] { return request.abandoned() || request.cancelled(); };
    const Error interrupted(ErrorCode::interrupted, "Interrupted before the work was begun");
    if (alone && !turn.take(options.patience, unwanted)) {
        return answer_with(unwanted() ? interrupted
                                      : Error(ErrorCode::locked,
                                              "The device is busy: another operation is in progress",
                                              Reason::image_in_use));
    }
    ControlMessage answer = guarded([&] {
        if (unwanted()) {
            throw interrupted;
        }
        ControlMessage result{{"ok", true}};
        result.update(function(request));
        return result;
    });
    if (alone) {
        turn.give_back();
    }
    return answer;
}

ControlMessage ControlServer::Impl::answer_to(int socket, ControlMessage message,
                                              ControlRequest::Farewells& farewells) {
    return guarded([&]() -> ControlMessage {
        const auto version = message.find("version");
        if (version == message.end() || !version->is_number_integer() || *version != control_version) {
            ControlMessage answer = answer_with(
                Error(ErrorCode::unsupported,
                      fmt::format("The process of the device is asked in a way that it does not know; "
                                  "it knows version {}: it was started by another version of "
                                  "this program",
                                  control_version)));
            answer["versions"] = {control_version};
            return answer;
        }
        const auto name = message.find("request");
        const auto function = name != message.end() && name->is_string()
                                  ? functions.find(name->get<std::string>())
                                  : functions.end();
        if (function == functions.end()) {
            return answer_with(
                Error(ErrorCode::unsupported, "The process of the device is asked for what it does not know"));
        }
        ControlRequest request(socket, std::move(message), &farewells);
        return answer_in_turn(function->first, function->second, request);
    });
}

void ControlServer::Impl::serve_requests(int socket, ControlRequest::Farewells& farewells) {
    for (;;) {
        Received received = receive_message(socket);
        if (received.kind == Received::Kind::end) {
            break;
        }
        const ControlMessage answer =
            received.kind == Received::Kind::garbage
                ? answer_with(Error(ErrorCode::usage, "A request must be a JSON object of at most 64 KiB"))
                : answer_to(socket, std::move(received.message), farewells);
        std::vector<std::string> packets;
        try {
            packets = packets_of(answer);
        } catch (const Error& error) {
            packets = packets_of(answer_with(error));
        }
        if (!std::all_of(packets.begin(), packets.end(), [&](const std::string& packet) {
                return send_packet(socket, packet, WhenFull::wait);
            })) {
            break;
        }
    }
}

void ControlServer::Impl::serve(int socket) {
    ControlRequest::Farewells farewells;
    try {
        serve_requests(socket, farewells);
    } catch (const std::exception& error) { // no memory: the device goes on
        log(LogLevel::warning, fmt::format("{}: a connection was given up: {}", path, error.what()));
    }
    for (const auto& [name, action] : farewells) {
        action();
    }
}

ControlServer::ControlServer(const std::string& socket_path, std::map<std::string, ControlFunction> functions,
                             ControlServerOptions options)
    : impl_(std::make_unique<Impl>()) {
    impl_->path = socket_path;
    impl_->functions = std::move(functions);
    impl_->options = std::move(options);
    impl_->listen();
    impl_->accepting = std::thread([this] { impl_->accept_connections(); });
}

ControlServer::~ControlServer() {
    unlink(impl_->path.c_str());
    impl_->turn.close();
    eventfd_write(impl_->end.get(), 1);
    impl_->accepting.join();
    for (Connection& connection : impl_->connections) {
        shutdown(connection.socket.get(), SHUT_RD); // an answer that is due can still be given
    }
    for (Connection& connection : impl_->connections) {
        connection.thread.join();
    }
}

} // namespace disktool
