// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ready_words.h"

#include "device/control_message.h"
#include "errors.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>

namespace disktool::ploop::cli {

namespace {

constexpr int glance = 100;              // ms
constexpr std::size_t longest = 1 << 20; // bytes of a line

class Lines {
  public:
    Lines(const Options& options, int pipe) : options_(options), pipe_(pipe) {}

    /// Empty: there are no more.
    std::string next() {
        for (;;) {
            if (const std::size_t end = read_.find('\n'); end != std::string::npos) {
                std::string line = read_.substr(0, end);
                read_.erase(0, end + 1);
                return line;
            }
            if (!read_more()) {
                return {};
            }
        }
    }

  private:
    bool read_more() {
        pollfd ready{pipe_, POLLIN, 0};
        options_.cancel->check();
        if (poll(&ready, 1, glance) <= 0) {
            return true;
        }
        std::array<char, 4096> buffer{};
        const ssize_t count = read(pipe_, buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) {
            return true;
        }
        if (count <= 0 || read_.size() > longest) {
            return false;
        }
        read_.append(buffer.data(), static_cast<std::size_t>(count));
        return true;
    }

    const Options& options_;
    const int pipe_;
    std::string read_;
};

} // namespace

Pipe::Pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
        throw SystemError("Cannot make", "a pipe", errno);
    }
    reader = disktool::Descriptor(ends[0]);
    writer = disktool::Descriptor(ends[1]);
}

ControlMessage hear_until_ready(const Options& options, int pipe, const std::string& what) {
    Lines lines(options, pipe);
    for (;;) {
        ControlMessage word = ControlMessage::parse(lines.next(), nullptr, false);
        if (!word.is_object()) {
            throw PloopError(Exit::device_open, ErrorCode::failure,
                             fmt::format("{} ended before it was ready; the system's log may say why", what));
        }
        if (word.contains("error")) {
            try {
                throw_error(word["error"]);
            } catch (const ControlError& error) {
                throw PloopError(static_cast<Exit>(error.exit()), error.code(), error.what(), error.reason());
            }
        }
        if (word.contains("say") && word["say"].is_string()) {
            options.output->say(word["say"].get<std::string>());
        } else if (word.contains("warning") && word["warning"].is_string()) {
            options.output->warn(word["warning"].get<std::string>());
        } else if (word.contains("ok")) {
            return word;
        }
    }
}

} // namespace disktool::ploop::cli
