// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system_log.h"

#include "block/host_descriptor.h"

#include <disktool/log.h>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>

namespace disktool::server {

namespace {

constexpr const char* system_socket = "/dev/log";

int priority_of(LogLevel level) {
    return LOG_DAEMON | (level == LogLevel::warning ? LOG_WARNING
                         : level == LogLevel::info  ? LOG_INFO
                                                    : LOG_DEBUG);
}

} // namespace

void log_to_system(const std::string& name) {
    const auto socket =
        std::make_shared<Descriptor>(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    set_log_receiver([socket, name](LogLevel level, std::string_view line) {
        if (level == LogLevel::debug) {
            return;
        }
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strcpy(address.sun_path, system_socket);
        const std::string message = fmt::format("<{}>{}[{}]: {}", priority_of(level), name, getpid(), line);
        // Not connected: the log's own process may be started anew.
        sendto(socket->get(), message.data(), message.size(), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&address), sizeof address);
    });
}

void log_to_terminal(const std::string& name) {
    set_log_receiver([name](LogLevel level, std::string_view line) {
        if (level != LogLevel::debug) {
            const std::string message = fmt::format("{}: {}\n", name, line);
            (void)!write(STDERR_FILENO, message.data(), message.size());
        }
    });
}

} // namespace disktool::server
