// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device_process.h"

#include "device/control.h"
#include "device/device_state_json.h"
#include "process_care.h"
#include "ready_pipe.h"
#include "running_device.h"
#include "system_log.h"

#include <disktool/log.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

namespace disktool::server {

namespace {

struct Words {
    int config = -1, ready = -1, lock = -1; ///< descriptors
    bool foreground = false;
};

bool take_descriptor(std::string_view word, int& descriptor) {
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), descriptor);
    return error == std::errc{} && end == word.data() + word.size() && descriptor > STDERR_FILENO &&
           fcntl(descriptor, F_GETFD) >= 0;
}

/// False: they are wrong.
bool understand(int count, char** words, Words& understood) {
    for (int i = 1; i < count; ++i) {
        const std::string_view word = words[i];
        int* const descriptor = word == "--config-fd"  ? &understood.config
                                : word == "--ready-fd" ? &understood.ready
                                : word == "--lock-fd"  ? &understood.lock
                                                       : nullptr;
        if (word == "--foreground") {
            understood.foreground = true;
        } else if (descriptor == nullptr || ++i >= count || !take_descriptor(words[i], *descriptor)) {
            return false;
        }
    }
    return understood.config >= 0 && understood.ready >= 0;
}

/// The signals that a device's process looks at; no thread is interrupted by them.
Descriptor take_signals() {
    sigset_t looked_at;
    sigemptyset(&looked_at);
    for (const int number : {SIGTERM, SIGINT}) {
        sigaddset(&looked_at, number);
    }
    pthread_sigmask(SIG_BLOCK, &looked_at, nullptr);
    for (const int number : {SIGPIPE, SIGHUP}) {
        signal(number, SIG_IGN);
    }
    Descriptor signals(signalfd(-1, &looked_at, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals) {
        throw SystemError("Cannot look at", "signals", errno);
    }
    return signals;
}

ControlMessage list_of(const std::vector<DeviceMount>& mounts) {
    ControlMessage list = ControlMessage::array();
    for (const DeviceMount& mount : mounts) {
        list.push_back({{"mount_point", mount.point}, {"filesystem", mount.filesystem}});
    }
    return list;
}

/// One that runs, with its control socket.
class ControlledDevice {
  public:
    ControlledDevice(DeviceSource& source, RunningDevice& device, const DeviceProgram& program)
        : device_(device), end_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        std::map<std::string, DeviceRequest> requests = source.requests(device);
        add_requests(requests);
        std::map<std::string, ControlFunction> functions;
        ControlServerOptions options;
        options.exit_of = program.exit_of;
        for (auto& [name, request] : requests) {
            functions[name] = std::move(request.run);
            if (request.at_once) {
                options.at_once.push_back(name);
            }
        }
        server_ = std::make_unique<ControlServer>(socket_path(), std::move(functions), std::move(options));
    }

    /// Until it is stopped.
    void run(int signals) {
        for (;;) {
            std::array<pollfd, 2> looks{pollfd{end_.get(), POLLIN, 0}, pollfd{signals, POLLIN, 0}};
            poll(looks.data(), looks.size(), -1);
            if (looks[0].revents != 0) {
                return;
            }
            signalfd_siginfo told{};
            if (read(signals, &told, sizeof told) == sizeof told) {
                stop_if_unused(fmt::format("signal {} from process {}", told.ssi_signo, told.ssi_pid));
            }
        }
    }

    /// As any client would, so that it has its turn.
    void stop_if_unused(const std::string& why) {
        try {
            ControlClient::connect(socket_path())->ask("stop");
            log(LogLevel::info, fmt::format("{}: stopped ({})", device_.state().node, why));
        } catch (const Error& error) {
            log(LogLevel::warning,
                fmt::format("{}: {} is ignored: {}", device_.state().node, why, error.what()));
        }
    }

  private:
    std::string socket_path() const { return device_file(device_.state().minor, "sock"); }

    void add_requests(std::map<std::string, DeviceRequest>& requests) {
        // A source may have more to say on this.
        requests.try_emplace("status",
                             DeviceRequest{[this](ControlRequest&) { return device_.status(); }, true});
        requests["partitions"] = {[this](ControlRequest&) {
            device_.read_partitions();
            return ControlMessage{{"partitions", json_of(device_.state())["partitions"]}};
        }};
        requests["freeze"] = {[this](ControlRequest& request) { return freeze(request); }, true};
        requests["thaw"] = {[this](ControlRequest& request) { return thaw(request); }, true};
        requests["stop"] = {[this](ControlRequest&) { return stop(); }};
    }

    ControlMessage freeze(ControlRequest& request) {
        if (request.has_farewell("thaw")) {
            throw Error(ErrorCode::usage, "This connection has frozen the device already");
        }
        const ControlMessage frozen = list_of(device_.freeze());
        request.when_gone("thaw", [this] { device_.thaw(); });
        return {{"filesystems", frozen}};
    }

    ControlMessage thaw(ControlRequest& request) {
        if (!request.has_farewell("thaw")) {
            throw Error(ErrorCode::usage, "This connection has not frozen the device");
        }
        request.when_gone("thaw", {});
        device_.thaw();
        return ControlMessage::object();
    }

    ControlMessage stop() {
        const std::string problem = device_.stop();
        eventfd_write(end_.get(), 1);
        if (!problem.empty()) {
            throw Error(ErrorCode::failure,
                        fmt::format("The device has gone, but its image was not closed: {}", problem));
        }
        return ControlMessage::object();
    }

    RunningDevice& device_;
    Descriptor end_; ///< an eventfd
    std::unique_ptr<ControlServer> server_;
};

void run(const Words& words, const DeviceProgram& program, ReadyPipe& ready) {
    Config config = Config::read(words.config);
    if (!words.foreground) {
        std::vector<int> kept{words.ready};
        if (words.lock >= 0) {
            kept.push_back(words.lock);
        }
        become_daemon(kept);
        log_to_system(program.name);
    }
    FreezerProcess freezer;
    take_care_of_process();
    const Descriptor signals = take_signals();
    const DeviceOptions options = take_device_options(config);
    std::unique_ptr<DeviceNumber> number =
        words.lock >= 0 ? DeviceNumber::adopt(words.lock) : DeviceNumber::take(options.minor);
    const auto source = program.open(config, [&](const std::string& line) { ready.say(line); });
    const auto device = RunningDevice::start(*source, options, std::move(number), freezer);
    ControlledDevice controlled(*source, *device, program);
    if (!ready.ready(json_of(device->state()))) {
        controlled.stop_if_unused("whoever wanted it has gone");
    }
    controlled.run(signals.get());
}

} // namespace

int run_device_process(int count, char** words, const DeviceProgram& program) {
    Words understood;
    if (!understand(count, words, understood)) {
        std::fprintf(stderr, "Usage: %s --config-fd N --ready-fd M [--lock-fd L] [--foreground]\n",
                     program.name.c_str());
        return static_cast<int>(ErrorCode::usage);
    }
    for (const int descriptor : {understood.config, understood.ready, understood.lock}) {
        if (descriptor >= 0) {
            fcntl(descriptor, F_SETFD, FD_CLOEXEC);
        }
    }
    signal(SIGPIPE, SIG_IGN);
    log_to_terminal(program.name);
    ReadyPipe ready(understood.ready);
    try {
        run(understood, program, ready);
        return 0;
    } catch (const Error& error) {
        const int exit = program.exit_of(error);
        if (!ready.fail(error, exit)) {
            log(LogLevel::warning, error.what());
        }
        return exit;
    } catch (const std::exception& error) {
        const Error internal(ErrorCode::failure, fmt::format("Internal error: {}", error.what()));
        if (!ready.fail(internal, 1)) {
            log(LogLevel::warning, internal.what());
        }
        return 1;
    }
}

} // namespace disktool::server
