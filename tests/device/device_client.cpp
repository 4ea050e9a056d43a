// SPDX-License-Identifier: LGPL-2.1-or-later
// device-client: what scripts need to start a device's process by hand, to ask it, and to clear it away.
//
//     start PROGRAM CONFIG [WORD...]   starts it, prints what it says; exit status: of its error
//     leave PROGRAM CONFIG             starts it and closes the ready pipe before it can say the last word
//     ask MINOR REQUEST [ARGUMENTS]    prints what is said and the answer
//     keep MINOR REQUEST [ARGUMENTS]   the same, then keeps the connection until standard input ends
//     states                           all devices, "alive" included
//     locked MINOR PROGRAM CONFIG      takes the number, and starts it with the lock
//     loops                            what the loop devices say of themselves
//     remove MINOR                     remove_dead_device(); exit status 1: it is in use
#include "block/host_descriptor.h"
#include "device/control.h"
#include "device/device_state_json.h"

#include <disktool/error.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace disktool {
namespace {

/// Returns the pid of the child.
int launch(const std::vector<std::string>& words, int config, int ready) {
    const pid_t child = fork();
    if (child == 0) {
        std::vector<char*> arguments;
        for (const std::string& word : words) {
            arguments.push_back(const_cast<char*>(word.c_str()));
        }
        arguments.push_back(nullptr);
        fcntl(config, F_SETFD, 0);
        fcntl(ready, F_SETFD, 0);
        execv(arguments[0], arguments.data());
        _exit(127);
    }
    return child;
}

int start(const std::string& program, const std::string& text, std::vector<std::string> more, bool leave) {
    const Descriptor config(memfd_create("config", MFD_CLOEXEC));
    (void)!write(config.get(), text.data(), text.size());
    lseek(config.get(), 0, SEEK_SET);
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
        return 1;
    }
    Descriptor reader(ends[0]), writer(ends[1]);
    std::vector<std::string> words{program, "--config-fd", std::to_string(config.get()), "--ready-fd",
                                   std::to_string(writer.get())};
    words.insert(words.end(), more.begin(), more.end());
    if (leave) {
        reader.close();
    }
    const pid_t child = launch(words, config.get(), writer.get());
    writer.close();
    std::string said;
    std::array<char, 4096> piece{};
    for (ssize_t got = 0; !leave && (got = read(reader.get(), piece.data(), piece.size())) > 0;) {
        said.append(piece.data(), static_cast<std::size_t>(got));
    }
    int status = 0;
    if (more.empty() || more.front() != "--foreground") { // that lives on
        waitpid(child, &status, 0);
    }
    std::cout << said;
    const std::string last = said.substr(said.find_last_of('\n', said.empty() ? 0 : said.size() - 2) + 1);
    const ControlMessage message = ControlMessage::parse(last, nullptr, false);
    if (message.is_object() && message.contains("error")) {
        return message["error"]["exit"].get<int>();
    }
    if (message.is_object() && message.contains("ok")) {
        return 0;
    }
    return leave || WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 99;
}

int ask(int minor, const std::string& request, const std::string& arguments, bool keep) {
    const auto client = ControlClient::connect(device_file(minor, "sock"));
    ControlClient::Listener listener;
    listener.say = [](const std::string& line) { std::cout << "say: " << line << std::endl; };
    listener.warn = [](const std::string& line) { std::cout << "warning: " << line << std::endl; };
    std::cout << client->ask(request, ControlMessage::parse(arguments), listener).dump() << std::endl;
    if (keep) {
        std::string line;
        while (std::getline(std::cin, line)) {
        }
    }
    return 0;
}

int states() {
    ControlMessage list = ControlMessage::array();
    for (const DeviceState& state : device_states()) {
        list.push_back(json_of(state));
        list.back()["alive"] = state.alive;
    }
    std::cout << list.dump(2) << std::endl;
    return 0;
}

int loops() {
    for (int number = 0; number < 256; ++number) {
        const Descriptor loop(open(fmt::format("/dev/loop{}", number).c_str(), O_RDONLY | O_CLOEXEC));
        loop_info64 info{};
        if (loop && ioctl(loop.get(), LOOP_GET_STATUS64, &info) == 0) {
            std::cout << reinterpret_cast<const char*>(info.lo_file_name) << std::endl;
        }
    }
    return 0;
}

int run(const std::vector<std::string>& words) {
    const std::string& verb = words.at(0);
    if (verb == "start" || verb == "leave") {
        return start(words.at(1), words.at(2), {words.begin() + 3, words.end()}, verb == "leave");
    }
    if (verb == "ask" || verb == "keep") {
        return ask(std::stoi(words.at(1)), words.at(2), words.size() > 3 ? words[3] : "{}", verb == "keep");
    }
    if (verb == "locked") {
        const auto number = DeviceNumber::take(std::stoi(words.at(1)));
        fcntl(number->descriptor(), F_SETFD, 0);
        return start(words.at(2), words.at(3), {"--lock-fd", std::to_string(number->descriptor())}, false);
    }
    if (verb == "loops") {
        return loops();
    }
    if (verb == "states") {
        return states();
    }
    if (verb == "remove") {
        const auto state = device_state(std::stoi(words.at(1)));
        return state && remove_dead_device(*state) ? 0 : 1;
    }
    throw std::invalid_argument("unknown verb");
}

} // namespace
} // namespace disktool

int main(int count, char** words) {
    try {
        return disktool::run({words + 1, words + count});
    } catch (const disktool::ControlError& error) {
        std::cout << "error: " << error.what() << std::endl;
        return error.exit();
    } catch (const disktool::Error& error) {
        std::cout << "failed: " << error.what() << std::endl;
        return static_cast<int>(error.code());
    } catch (const std::exception& error) {
        std::cout << "failed: " << error.what() << std::endl;
        return 100;
    }
}
