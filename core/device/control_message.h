// SPDX-License-Identifier: LGPL-2.1-or-later
// Packets of the control protocol (control.h): made, sent and read.
#pragma once

#include "device/control.h"

#include <disktool/error.h>

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace disktool {

constexpr std::size_t largest_packet = 64 << 10;

/// The packets of a message; several where its arrays are too long for one. What is not UTF-8 is replaced.
/// Throws Error(failure) where even that does not help.
std::vector<std::string> packets_of(const ControlMessage& message);
/// Puts the part of a message to those that came before.
void add_part(ControlMessage& whole, const ControlMessage& part);

enum class WhenFull { wait, drop };
/// False: the other side has gone, or has no room.
bool send_packet(int socket, const std::string& packet, WhenFull when_full);

struct Received {
    enum class Kind {
        message,
        end,     ///< the other side has gone
        garbage, ///< what it sent is no JSON object, or too long
    };
    Kind kind = Kind::end;
    ControlMessage message{};
};
/// Waits.
Received receive_message(int socket);

ControlMessage error_message(const Error& error, int exit);
/// The other way round. Throws it.
[[noreturn]] void throw_error(const ControlMessage& error);

/// Also for a path that is longer than an address has room for: `folder` then is a descriptor that must stay
/// open until the address has been used. Throws SystemError.
sockaddr_un socket_address(const std::string& path, Descriptor& folder);

} // namespace disktool
