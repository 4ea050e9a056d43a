// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/control_message.h"

#include <fmt/format.h>
#include <poll.h>

#include <cerrno>

namespace disktool {

namespace {

constexpr int look_every = 100; // ms, for a cancellation

std::string request_packet(const std::string& request, const ControlMessage& arguments) {
    ControlMessage message{{"version", control_version}, {"request", request}};
    message.update(arguments);
    std::string packet;
    try {
        packet = message.dump();
    } catch (const ControlMessage::exception&) {
        throw Error(ErrorCode::usage,
                    fmt::format("What is asked of a device ({}) must be UTF-8, names of files, too", request));
    }
    if (packet.size() > largest_packet) {
        throw Error(ErrorCode::usage, fmt::format("What is asked of a device ({}) is too long", request));
    }
    return packet;
}

/// Is it one that comes before the last? Passes it on.
bool tell(const ControlMessage& message, const ControlClient::Listener& listener) {
    const auto has = [&](const char* key, bool (ControlMessage::*is)() const noexcept) {
        const auto found = message.find(key);
        return found != message.end() && ((*found).*is)();
    };
    if (has("say", &ControlMessage::is_string)) {
        listener.say(message["say"].get<std::string>());
    } else if (has("warning", &ControlMessage::is_string)) {
        listener.warn(message["warning"].get<std::string>());
    } else if (has("done", &ControlMessage::is_number_unsigned) &&
               has("total", &ControlMessage::is_number_unsigned)) {
        listener.progress(message["done"].get<std::uint64_t>(), message["total"].get<std::uint64_t>());
    } else {
        return false;
    }
    return true;
}

} // namespace

std::unique_ptr<ControlClient> ControlClient::connect(const std::string& socket_path) {
    Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (!socket) {
        throw SystemError("Cannot make a socket for", socket_path, errno);
    }
    Descriptor folder;
    const sockaddr_un address = socket_address(socket_path, folder);
    int result = 0;
    do {
        result = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    } while (result != 0 && errno == EINTR);
    if (result != 0) {
        if (errno == ECONNREFUSED) {
            throw Error(ErrorCode::not_found,
                        fmt::format("Nobody listens on {}: the process of that device has died", socket_path));
        }
        throw SystemError("Cannot connect to", socket_path, errno);
    }
    return std::unique_ptr<ControlClient>(new ControlClient(std::move(socket), socket_path));
}

ControlClient::~ControlClient() = default;

ControlMessage ControlClient::receive(const Listener& listener) {
    while (listener.cancel != nullptr) {
        if (listener.cancel->cancelled()) {
            shutdown(socket_.get(), SHUT_WR);
            break;
        }
        pollfd look{socket_.get(), POLLIN, 0};
        if (poll(&look, 1, look_every) > 0) {
            break;
        }
    }
    Received received = receive_message(socket_.get());
    if (received.kind != Received::Kind::message) {
        const bool died = received.kind == Received::Kind::end;
        socket_.close();
        throw Error(ErrorCode::failure, fmt::format("{} {}", path_,
                                                    died ? "gave no answer: the process of the device has ended"
                                                         : "gave an answer that cannot be understood"));
    }
    return std::move(received.message);
}

ControlMessage ControlClient::ask(const std::string& request, ControlMessage arguments,
                                  const Listener& listener) {
    const std::string packet = request_packet(request, arguments);
    if (!socket_) {
        throw Error(ErrorCode::failure, fmt::format("The connection to {} has ended", path_));
    }
    // A server that turns us away has said why, and closed: that is read even when nothing can be sent any
    // more.
    send_packet(socket_.get(), packet, WhenFull::wait);
    ControlMessage answer = ControlMessage::object();
    for (;;) {
        ControlMessage message = receive(listener);
        if (const auto error = message.find("error"); error != message.end()) {
            throw_error(*error);
        }
        if (!tell(message, listener)) {
            add_part(answer, message);
        }
        if (message.contains("ok")) {
            answer.erase("ok");
            return answer;
        }
    }
}

ControlMessage ControlClient::ask(const std::string& request, ControlMessage arguments) {
    return ask(request, std::move(arguments), Listener{});
}

} // namespace disktool
