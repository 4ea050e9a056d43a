// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/control_message.h"

#include <disktool/file.h>

#include <fcntl.h>
#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <iterator>

namespace disktool {

namespace {

/// Of one element of an array in a packet of its own: there must be room for the names around it.
constexpr std::size_t largest_element = largest_packet - (4 << 10);
constexpr std::size_t short_array = 1 << 10; // bytes; it stays where it is

std::string text_of(const ControlMessage& message) {
    return message.dump(-1, ' ', false, ControlMessage::error_handler_t::replace);
}

using Pointer = ControlMessage::json_pointer;

std::string packet_with(const Pointer& place, ControlMessage elements) {
    ControlMessage part{{"more", true}};
    part[place] = std::move(elements);
    return text_of(part);
}

/// Takes the long arrays out of `object`, as packets.
void take_arrays(ControlMessage& object, const Pointer& place, std::vector<std::string>& packets) {
    for (auto& [key, value] : object.items()) {
        const Pointer here = place / key;
        if (value.is_object()) {
            take_arrays(value, here, packets);
        }
        if (!value.is_array() || text_of(value).size() <= short_array) {
            continue;
        }
        ControlMessage elements = ControlMessage::array();
        std::size_t length = 0;
        for (ControlMessage& element : value) {
            const std::size_t more = text_of(element).size() + 1;
            if (more > largest_element) {
                throw Error(ErrorCode::failure, fmt::format("An answer has too long an element in {}", key));
            }
            if (length + more > largest_element) {
                packets.push_back(packet_with(here, std::exchange(elements, ControlMessage::array())));
                length = 0;
            }
            elements.push_back(std::move(element));
            length += more;
        }
        packets.push_back(packet_with(here, std::move(elements)));
        value = ControlMessage::array();
    }
}

ErrorCode code_of(const std::string& wanted) {
    for (const ErrorCode code : {ErrorCode::usage, ErrorCode::not_found, ErrorCode::locked, ErrorCode::no_space,
                                 ErrorCode::unsupported, ErrorCode::damaged, ErrorCode::size_impossible,
                                 ErrorCode::program_missing, ErrorCode::recovery, ErrorCode::interrupted}) {
        if (name(code) == wanted) {
            return code;
        }
    }
    return ErrorCode::failure;
}

Reason reason_of(const std::string& wanted) {
    for (std::uint32_t number = 1; !name(static_cast<Reason>(number)).empty(); ++number) {
        if (name(static_cast<Reason>(number)) == wanted) {
            return static_cast<Reason>(number);
        }
    }
    return Reason::none;
}

std::string string_in(const ControlMessage& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

} // namespace

std::vector<std::string> packets_of(const ControlMessage& message) {
    std::string whole = text_of(message);
    if (whole.size() <= largest_packet) {
        return {std::move(whole)};
    }
    std::vector<std::string> packets;
    ControlMessage rest = message;
    take_arrays(rest, Pointer(), packets);
    packets.push_back(text_of(rest));
    if (packets.back().size() > largest_packet) {
        throw Error(ErrorCode::failure, "An answer is too long for a packet");
    }
    return packets;
}

void add_part(ControlMessage& whole, const ControlMessage& part) {
    for (const auto& [key, value] : part.items()) {
        if (key == "more") {
            continue;
        }
        ControlMessage& there = whole[key];
        if (there.is_array() && value.is_array()) {
            there.insert(there.end(), value.begin(), value.end());
        } else if (there.is_object() && value.is_object()) {
            add_part(there, value);
        } else {
            there = value;
        }
    }
}

bool send_packet(int socket, const std::string& packet, WhenFull when_full) {
    const int flags = MSG_NOSIGNAL | MSG_EOR | (when_full == WhenFull::drop ? MSG_DONTWAIT : 0);
    ssize_t sent = 0;
    do {
        sent = send(socket, packet.data(), packet.size(), flags);
    } while (sent < 0 && errno == EINTR);
    return sent == static_cast<ssize_t>(packet.size());
}

Received receive_message(int socket) {
    std::string packet(largest_packet, '\0');
    ssize_t length = 0;
    // The other side may have closed with our request unread. The kernel tells that first and once
    // (ECONNRESET), and then gives what it had said before.
    bool told = false;
    do {
        told = told || (length < 0 && errno == ECONNRESET);
        length = recv(socket, packet.data(), packet.size(), MSG_TRUNC);
    } while (length < 0 && (errno == EINTR || (errno == ECONNRESET && !told)));
    if (length <= 0) {
        return {Received::Kind::end};
    }
    if (static_cast<std::size_t>(length) > packet.size()) {
        return {Received::Kind::garbage};
    }
    packet.resize(static_cast<std::size_t>(length));
    ControlMessage message = ControlMessage::parse(packet, nullptr, false);
    if (!message.is_object()) {
        return {Received::Kind::garbage};
    }
    return {Received::Kind::message, std::move(message)};
}

ControlMessage error_message(const Error& error, int exit) {
    constexpr std::size_t longest = 16 << 10;
    ControlMessage inner{{"code", name(error.code())}, {"exit", exit}};
    if (error.reason() != Reason::none) {
        inner["reason"] = name(error.reason());
    }
    inner["message"] = std::string(error.what()).substr(0, longest);
    return {{"error", std::move(inner)}};
}

void throw_error(const ControlMessage& error) {
    const auto exit = error.find("exit");
    throw ControlError(code_of(string_in(error, "code")),
                       exit != error.end() && exit->is_number_integer() ? exit->get<int>() : 1,
                       string_in(error, "message"), reason_of(string_in(error, "reason")));
}

sockaddr_un socket_address(const std::string& path, Descriptor& folder) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::string name = path;
    if (path.size() >= sizeof address.sun_path) {
        const std::string place = directory_of(path);
        folder = Descriptor(open(place.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!folder) {
            throw SystemError("Cannot open", place, errno);
        }
        name = fmt::format("/proc/self/fd/{}/{}", folder.get(), path.substr(path.find_last_of('/') + 1));
    }
    fmt::format_to_n(address.sun_path, sizeof address.sun_path - 1, "{}", name);
    return address;
}

} // namespace disktool
