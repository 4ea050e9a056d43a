// SPDX-License-Identifier: LGPL-2.1-or-later
// Not by the door to other programs: that one forks, which takes tens of milliseconds in a program that runs
// under AddressSanitizer, and tests start thousands.
#include "support/run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

namespace disktool::test {

namespace {

/// The two ends of a pipe, closed with the object.
class Pipe {
  public:
    Pipe() {
        if (pipe2(ends_.data(), O_CLOEXEC) != 0)
            throw std::system_error(errno, std::generic_category(), "pipe2");
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() {
        close_end(0);
        close_end(1);
    }
    int end(std::size_t which) const { return ends_.at(which); }
    void close_end(std::size_t which) {
        if (ends_.at(which) >= 0)
            close(ends_.at(which));
        ends_.at(which) = -1;
    }

  private:
    std::array<int, 2> ends_{};
};

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> result;
    for (std::string& text : strings)
        result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

pid_t start(std::vector<std::string> argv, const Pipe& output, const Pipe& errors) {
    std::vector<std::string> variables;
    for (char** variable = environ; *variable != nullptr; ++variable)
        if (!std::string_view(*variable).starts_with("LC_ALL="))
            variables.emplace_back(*variable);
    variables.emplace_back("LC_ALL=C");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output.end(1), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, errors.end(1), STDERR_FILENO);
    pid_t pid = 0;
    const int problem = posix_spawnp(&pid, argv.at(0).c_str(), &actions, nullptr, pointers(argv).data(),
                                     pointers(variables).data());
    posix_spawn_file_actions_destroy(&actions);
    if (problem != 0)
        throw std::system_error(problem, std::generic_category(), argv.at(0));
    return pid;
}

void read_both(const Pipe& output, const Pipe& errors, CommandResult& result) {
    std::array<pollfd, 2> ends{pollfd{output.end(0), POLLIN, 0}, pollfd{errors.end(0), POLLIN, 0}};
    const std::array<std::string*, 2> texts{&result.output, &result.errors};
    std::array<char, 65536> buffer;
    while (ends[0].fd >= 0 || ends[1].fd >= 0) {
        if (poll(ends.data(), ends.size(), -1) < 0)
            continue;
        for (std::size_t i = 0; i < ends.size(); ++i) {
            if (ends.at(i).fd < 0 || ends.at(i).revents == 0)
                continue;
            const ssize_t got = read(ends.at(i).fd, buffer.data(), buffer.size());
            if (got > 0)
                texts.at(i)->append(buffer.data(), static_cast<std::size_t>(got));
            else if (got == 0 || errno != EINTR)
                ends.at(i).fd = -1; // poll passes over it
        }
    }
}

} // namespace

CommandResult result_of(std::vector<std::string> argv) {
    Pipe output, errors;
    const pid_t pid = start(std::move(argv), output, errors);
    output.close_end(1);
    errors.close_end(1);
    CommandResult result;
    read_both(output, errors, result);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            throw std::system_error(errno, std::generic_category(), "waitpid");
    result.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result;
}

std::string run_tool(std::vector<std::string> argv) {
    CommandResult result = result_of(argv);
    if (!result.ok()) {
        Command command;
        command.arguments = std::move(argv);
        throw std::runtime_error(fmt::format("{}: exit status {}\n{}{}", command.text(), result.exit_status,
                                             result.output, result.errors));
    }
    return std::move(result.output);
}

int exit_status_of(std::vector<std::string> argv) {
    return result_of(std::move(argv)).exit_status;
}

bool long_form() {
    const char* const value = std::getenv("DISKTOOL_LONG");
    return value != nullptr && std::string_view(value) != "0";
}

} // namespace disktool::test
