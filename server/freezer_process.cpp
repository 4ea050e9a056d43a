// SPDX-License-Identifier: LGPL-2.1-or-later
#include "freezer_process.h"

#include "device/control_message.h"
#include "device/device_freezer.h"

#include <disktool/log.h>

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <string>

namespace disktool::server {

namespace {

constexpr const char* own_name = "ploop-freezer"; // 15 letters at most

ControlMessage answer_to(DeviceFreezer& freezer, std::vector<std::uint64_t>& numbers,
                         const ControlMessage& request) {
    if (!request.contains("freeze")) {
        freezer.thaw();
        return {{"ok", true}};
    }
    try {
        numbers = request["freeze"].get<std::vector<std::uint64_t>>();
        ControlMessage list = ControlMessage::array();
        for (const DeviceMount& mount : freezer.freeze()) {
            list.push_back({{"point", mount.point}, {"filesystem", mount.filesystem}});
        }
        return {{"ok", true}, {"mounts", std::move(list)}};
    } catch (const Error& error) {
        return error_message(error, 1);
    }
}

/// None: the other process has died.
std::optional<ControlMessage> ask(int socket, const ControlMessage& request) {
    if (!send_packet(socket, request.dump(), WhenFull::wait)) {
        return std::nullopt;
    }
    ControlMessage answer = ControlMessage::object();
    while (!answer.contains("ok") && !answer.contains("error")) {
        const Received part = receive_message(socket);
        if (part.kind != Received::Kind::message) {
            return std::nullopt;
        }
        add_part(answer, part.message);
    }
    return answer;
}

/// The whole life of the small process.
void serve(int socket) {
    std::vector<std::uint64_t> numbers;
    DeviceFreezer freezer([&] { return numbers; });
    for (;;) {
        const Received request = receive_message(socket);
        if (request.kind != Received::Kind::message) {
            return;
        }
        for (const std::string& packet : packets_of(answer_to(freezer, numbers, request.message))) {
            send_packet(socket, packet, WhenFull::wait);
        }
    }
}

} // namespace

FreezerProcess::FreezerProcess() {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        throw SystemError("Cannot make", "a pair of sockets", errno);
    }
    socket_ = Descriptor(ends[0]);
    Descriptor other(ends[1]);
    pid_ = fork();
    if (pid_ < 0) {
        throw SystemError("Cannot start", "the process that freezes file systems", errno);
    }
    if (pid_ == 0) {
        for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) {
            signal(number, SIG_IGN); // its life ends with the other's
        }
        prctl(PR_SET_NAME, own_name, 0, 0, 0);
        // Locks and pipes of the device's process are not its own.
        const auto number = static_cast<unsigned>(other.get());
        close_range(STDERR_FILENO + 1, number - 1, 0);
        close_range(number + 1, ~0U, 0);
        try {
            serve(static_cast<int>(number));
        } catch (const std::exception&) { // no memory: what is frozen has been thawed
        }
        _exit(0);
    }
}

FreezerProcess::~FreezerProcess() {
    socket_.close();
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
}

std::vector<DeviceMount> FreezerProcess::freeze(const std::vector<std::uint64_t>& device_numbers) {
    const std::scoped_lock lock(mutex_);
    numbers_ = device_numbers;
    const std::optional<ControlMessage> answer = ask(socket_.get(), {{"freeze", device_numbers}});
    if (!answer) {
        throw Error(ErrorCode::failure,
                    "The process that freezes file systems has died, so what is on the device "
                    "cannot be kept still");
    }
    if (answer->contains("error")) {
        throw_error((*answer)["error"]);
    }
    std::vector<DeviceMount> mounts;
    for (const ControlMessage& mount : (*answer)["mounts"]) {
        mounts.push_back(
            {.point = mount["point"].get<std::string>(), .filesystem = mount["filesystem"].get<std::string>()});
    }
    return mounts;
}

void FreezerProcess::thaw() noexcept {
    try {
        const std::scoped_lock lock(mutex_);
        if (!ask(socket_.get(), {{"thaw", true}})) {
            thaw_left_frozen(numbers_);
        }
    } catch (const std::exception& error) {
        log(LogLevel::warning, error.what());
    }
}

} // namespace disktool::server
