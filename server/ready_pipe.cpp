// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ready_pipe.h"

#include "device/control_message.h"

#include <disktool/log.h>

#include <unistd.h>

#include <cerrno>
#include <string_view>

namespace disktool::server {

using Json = nlohmann::ordered_json;

bool ReadyPipe::write(const Json& message) {
    const std::string text = message.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    for (std::string_view rest = text; pipe_ && !rest.empty();) {
        const ssize_t count = ::write(pipe_.get(), rest.data(), rest.size());
        if (count < 0 && errno != EINTR) {
            return false;
        }
        rest.remove_prefix(count < 0 ? 0 : static_cast<std::size_t>(count));
    }
    return static_cast<bool>(pipe_);
}

void ReadyPipe::say(const std::string& line) {
    if (!write({{"say", line}})) {
        log(LogLevel::info, line);
    }
}

void ReadyPipe::warn(const std::string& line) {
    if (!write({{"warning", line}})) {
        log(LogLevel::warning, line);
    }
}

bool ReadyPipe::ready(const Json& state) {
    const bool heard = write({{"ok", true}, {"state", state}});
    if (heard) { // else its end tells whoever waits for that of this process
        pipe_.close();
    }
    return heard;
}

bool ReadyPipe::fail(const Error& error, int exit) {
    const bool heard = write(error_message(error, exit));
    pipe_.close();
    return heard;
}

} // namespace disktool::server
