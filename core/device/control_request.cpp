// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/control_message.h"

#include <disktool/log.h>

#include <fmt/format.h>
#include <poll.h>

namespace disktool {

namespace {

constexpr std::size_t longest_line = 16 << 10;
constexpr std::chrono::milliseconds between_progress{100};

[[noreturn]] void bad_argument(const char* name, const char* what) {
    throw Error(ErrorCode::usage, fmt::format("The argument \"{}\" of a request must be {}", name, what));
}

void send_line(int socket, const char* kind, const std::string& line, LogLevel level) {
    const ControlMessage message{{kind, line.substr(0, longest_line)}};
    if (!send_packet(socket, packets_of(message).front(), WhenFull::drop)) {
        log(level, line); // nobody reads it, but it was said
    }
}

constexpr short gone = POLLHUP | POLLERR | POLLNVAL;

short events_of(int socket) {
    pollfd look{socket, POLLRDHUP, 0};
    return poll(&look, 1, 0) > 0 ? look.revents : short{0};
}

} // namespace

std::string ControlRequest::text(const char* name) const {
    const auto found = arguments_.find(name);
    if (found == arguments_.end() || !found->is_string()) {
        bad_argument(name, "a string");
    }
    return found->get<std::string>();
}

std::string ControlRequest::text(const char* name, const std::string& otherwise) const {
    return arguments_.contains(name) ? text(name) : otherwise;
}

std::uint64_t ControlRequest::number(const char* name) const {
    const auto found = arguments_.find(name);
    if (found == arguments_.end() || !found->is_number_unsigned()) {
        bad_argument(name, "a number");
    }
    return found->get<std::uint64_t>();
}

bool ControlRequest::flag(const char* name) const {
    const auto found = arguments_.find(name);
    if (found == arguments_.end()) {
        return false;
    }
    if (!found->is_boolean()) {
        bad_argument(name, "true or false");
    }
    return found->get<bool>();
}

void ControlRequest::say(const std::string& line) {
    send_line(socket_, "say", line, LogLevel::info);
}

void ControlRequest::warn(const std::string& line) {
    send_line(socket_, "warning", line, LogLevel::warning);
}

void ControlRequest::progress(std::uint64_t done, std::uint64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_progress_ >= between_progress) {
        last_progress_ = now;
        send_packet(socket_, ControlMessage{{"done", done}, {"total", total}}.dump(), WhenFull::drop);
    }
}

void ControlRequest::part(ControlMessage message) {
    message["more"] = true;
    for (const std::string& packet : packets_of(message)) {
        if (!send_packet(socket_, packet, WhenFull::wait)) {
            throw Error(ErrorCode::interrupted, "Whoever asked does not read the answer any more");
        }
    }
}

bool ControlRequest::abandoned() const {
    return (events_of(socket_) & gone) != 0;
}

bool ControlRequest::cancelled() const {
    const short events = events_of(socket_);
    return (events & POLLRDHUP) != 0 && (events & gone) == 0;
}

void ControlRequest::when_gone(const std::string& name, std::function<void()> action) {
    if (farewells_ == nullptr) {
        return;
    }
    if (action) {
        (*farewells_)[name] = std::move(action);
    } else {
        farewells_->erase(name);
    }
}

} // namespace disktool
