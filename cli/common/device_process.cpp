// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/device_process.h"

#include "device/control_message.h"
#include "engine/own_place.h"

#include <disktool/doors.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <span>

namespace disktool::cli {

namespace {

constexpr int config_number = 3, ready_number = 4, lock_number = 5; // in the process that is started
constexpr int glance = 100;                                         // ms
constexpr int end_of_process = 10'000;                              // ms
constexpr std::size_t longest = 1 << 20;                            // bytes of a line

class Lines {
  public:
    Lines(int pipe, CancelToken* cancel) : pipe_(pipe), cancel_(cancel) {}

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
        if (cancel_ != nullptr) {
            cancel_->check();
        }
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

    const int pipe_;
    CancelToken* const cancel_;
    std::string read_;
};

/// A file without a name, to be read from its beginning.
Descriptor file_with(const std::string& text) {
    Descriptor file(memfd_create("disktool-device", MFD_CLOEXEC));
    if (!file) {
        throw SystemError("Cannot make", "a file in memory", errno);
    }
    for (std::span<const char> rest(text); !rest.empty();) {
        const ssize_t count = write(file.get(), rest.data(), rest.size());
        if (count < 0) {
            throw SystemError("Cannot write", "a file in memory", errno);
        }
        rest = rest.subspan(static_cast<std::size_t>(count));
    }
    lseek(file.get(), 0, SEEK_SET);
    return file;
}

[[noreturn]] void no_device(const std::string& sentence) {
    throw Error(ErrorCode::program_missing, sentence, Reason::program_missing);
}

} // namespace

Pipe::Pipe() {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        throw SystemError("Cannot make", "a pipe", errno);
    }
    reader = Descriptor(ends[0]);
    writer = Descriptor(ends[1]);
}

void Pipe::refuse() const {
    shutdown(reader.get(), SHUT_RD);
    pollfd closed{reader.get(), 0, 0}; // POLLHUP is always told
    poll(&closed, 1, end_of_process);
}

ControlMessage hear_until_ready(int pipe, const std::string& what, const ReadyListener& listener) {
    Lines lines(pipe, listener.cancel);
    for (;;) {
        ControlMessage word = ControlMessage::parse(lines.next(), nullptr, false);
        if (!word.is_object()) {
            no_device(fmt::format("{} ended before it was ready; the system's log may say why", what));
        }
        if (word.contains("error")) {
            throw_error(word["error"]);
        }
        if (word.contains("say") && word["say"].is_string()) {
            listener.say(word["say"].get<std::string>());
        } else if (word.contains("warning") && word["warning"].is_string()) {
            listener.warn(word["warning"].get<std::string>());
        } else if (word.contains("ok")) {
            return word;
        }
    }
}

DeviceState start_device_process(const std::string& program, ControlMessage config, const DeviceNumber* number,
                                 const ReadyListener& listener) {
    config["version"] = control_version;
    const Descriptor text = file_with(config.dump(-1, ' ', false, ControlMessage::error_handler_t::replace));
    Pipe ready;
    Command command;
    command.arguments = {own_prefix() + "/" DISKTOOL_LIBEXEC_DIR "/" + program, "--config-fd",
                         std::to_string(config_number), "--ready-fd", std::to_string(ready_number)};
    command.descriptors = {{text.get(), config_number}, {ready.writer.get(), ready_number}};
    if (number != nullptr) {
        command.arguments.insert(command.arguments.end(), {"--lock-fd", std::to_string(lock_number)});
        command.descriptors.emplace_back(number->descriptor(), lock_number);
    }
    const std::unique_ptr<Process> process = real_doors().processes.start(command);
    ready.writer.close();
    ControlMessage word;
    try {
        word = hear_until_ready(ready.reader.get(), command.arguments.front(), listener);
    } catch (...) {
        ready.refuse();
        throw;
    }
    try {
        const int minor = word.at("state").at("minor").get<int>();
        if (std::optional<DeviceState> state = device_state(minor)) {
            return *state;
        }
        no_device(fmt::format("/dev/ploop{} has gone already; the system's log may say why", minor));
    } catch (const nlohmann::json::exception& error) {
        no_device(fmt::format("{} tells of its device what cannot be understood: {}", command.arguments.front(),
                              error.what()));
    }
}

} // namespace disktool::cli
