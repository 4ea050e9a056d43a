// SPDX-License-Identifier: LGPL-2.1-or-later
// Between fork and exec only async-signal-safe calls are allowed, since other threads of ours may hold any
// lock: everything that needs memory is made ready before.
#include "block/host_launch.h"

#include <disktool/error.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string_view>
#include <system_error>

namespace disktool {

std::string find_program(const std::string& name) {
    if (name.find('/') != std::string::npos)
        return name;
    const char* const search = std::getenv("PATH");
    std::string_view rest = search ? search : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    while (!rest.empty()) {
        const std::size_t colon = rest.find(':');
        const std::string_view folder = rest.substr(0, colon);
        rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
        if (folder.empty() || folder[0] != '/')
            continue; // a relative one would run whatever lies in the current folder
        std::string candidate = fmt::format("{}/{}", folder, name);
        if (access(candidate.c_str(), X_OK) == 0)
            return candidate;
    }
    throw Error(ErrorCode::program_missing,
                fmt::format("{} is not installed, or not in a folder that PATH names", name),
                Reason::program_missing);
}

namespace {

constexpr const char* listen_pid = "LISTEN_PID";

std::vector<std::string> child_environment(const Command& command) {
    std::map<std::string, std::string> variables;
    for (char** variable = environ; *variable; ++variable) {
        const std::string text = *variable;
        const std::size_t equals = std::min(text.find('='), text.size());
        variables[text.substr(0, equals)] = text.substr(std::min(equals + 1, text.size()));
    }
    for (const auto& [name, value] : command.environment)
        variables[name] = value;
    variables["LC_ALL"] = "C"; // for programs whose words are read
    variables.erase(listen_pid);
    std::vector<std::string> result;
    result.reserve(variables.size() + 1);
    for (const auto& [name, value] : variables)
        result.push_back(fmt::format("{}={}", name, value));
    if (command.listen_pid) // the child writes its number behind it
        result.push_back(std::string(listen_pid) + "=" + std::string(20, '\0'));
    return result;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> result;
    result.reserve(strings.size() + 1);
    for (std::string& text : strings)
        result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

struct Pipe {
    Descriptor read;
    Descriptor write;
};

Pipe make_pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0)
        throw SystemError("Cannot make", "a pipe", errno);
    return {Descriptor(ends[0]), Descriptor(ends[1])};
}

/// A file in memory rather than a pipe: nobody has to feed it, and a child that does not read it kills nobody.
Descriptor make_input(const std::string& input) {
    if (input.empty()) {
        Descriptor nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
        if (!nothing)
            throw SystemError("Cannot open", "/dev/null", errno);
        return nothing;
    }
    Descriptor file(memfd_create("input", MFD_CLOEXEC));
    if (!file)
        throw SystemError("Cannot make", "a file in memory", errno);
    for (std::size_t done = 0; done < input.size();) {
        const ssize_t put = write(file.get(), input.data() + done, input.size() - done);
        if (put < 0 && errno != EINTR)
            throw SystemError("Cannot write to", "a file in memory", errno);
        done += static_cast<std::size_t>(std::max<ssize_t>(put, 0));
    }
    if (lseek(file.get(), 0, SEEK_SET) != 0)
        throw SystemError("Cannot rewind", "a file in memory", errno);
    return file;
}

/// All that the child needs, made ready by the parent.
struct Preparation {
    std::string program;
    std::vector<std::string> argument_text;
    std::vector<std::string> environment_text;
    std::vector<char*> arguments;
    std::vector<char*> environment;
    std::vector<std::pair<int, int>> descriptors; ///< {ours, the child's}
    std::vector<int> moved;                       ///< room for as many numbers
    int first_free = 0;                           ///< above all of the child's
    char* own_pid = nullptr;                      ///< where the child writes its number, 20 characters
    pid_t parent = 0;
};

void write_number(char* to, pid_t number) {
    std::to_chars(to, to + 20, number);
}

/// In the child. Returns only when exec fails; errno says why.
void become(Preparation& ready) {
    if (setpgid(0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return;
    if (getppid() != ready.parent) // it died before the call above
        _exit(127);
    for (int number = 1; number < NSIG; ++number)
        signal(number, SIG_DFL); // fails for the few that cannot be changed, which is all right
    // First out of the way of each other's new numbers, then to those.
    for (std::size_t i = 0; i < ready.descriptors.size(); ++i) {
        ready.moved[i] = fcntl(ready.descriptors[i].first, F_DUPFD_CLOEXEC, ready.first_free);
        if (ready.moved[i] < 0)
            return;
    }
    // What libraries opened without close-on-exec is none of the child's business. An old kernel leaves it
    // open.
    syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
    for (std::size_t i = 0; i < ready.descriptors.size(); ++i)
        if (dup2(ready.moved[i], ready.descriptors[i].second) < 0)
            return;
    if (ready.own_pid)
        write_number(ready.own_pid, getpid());
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    execve(ready.program.c_str(), ready.arguments.data(), ready.environment.data());
}

/// Blocks all signals of this thread, so that no handler of ours runs in the child.
class SignalsBlocked {
  public:
    SignalsBlocked() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  private:
    sigset_t before_{};
};

Preparation prepare(const Command& command, int input, int output, int errors) {
    Preparation ready;
    ready.program = find_program(command.arguments.at(0));
    ready.argument_text = command.arguments;
    ready.arguments = pointers(ready.argument_text);
    ready.environment_text = child_environment(command);
    ready.environment = pointers(ready.environment_text);
    if (command.listen_pid)
        ready.own_pid = ready.environment_text.back().data() + std::strlen(listen_pid) + 1;
    ready.descriptors = {{input, 0}, {output, 1}, {errors, 2}};
    ready.descriptors.insert(ready.descriptors.end(), command.descriptors.begin(), command.descriptors.end());
    ready.moved.resize(ready.descriptors.size());
    for (const auto& [ours, childs] : ready.descriptors)
        ready.first_free = std::max(ready.first_free, childs + 1);
    ready.parent = getpid();
    return ready;
}

/// Someone who started us with SIGCHLD ignored has the kernel throw away how our children end.
void hear_of_children() {
    struct sigaction now {};
    if (sigaction(SIGCHLD, nullptr, &now) == 0 && now.sa_handler == SIG_IGN)
        signal(SIGCHLD, SIG_DFL);
}

/// The errno value of the failing exec, or 0 when it went well: then its end of the pipe was closed.
int read_failure(int from) {
    int error_number = 0;
    ssize_t got;
    do
        got = read(from, &error_number, sizeof error_number);
    while (got < 0 && errno == EINTR);
    return got == sizeof error_number ? error_number : 0;
}

} // namespace

Launched::~Launched() {
    kill(-pid, SIGKILL);
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR)
        continue;
}

std::unique_ptr<Launched> launch(const Command& command) {
    const Descriptor input = make_input(command.input);
    Pipe output = make_pipe();
    Pipe errors = make_pipe();
    Pipe failure = make_pipe();
    Preparation ready = prepare(command, input.get(), output.write.get(), errors.write.get());
    // It must not lie where the child wants something else.
    failure.write = Descriptor(fcntl(failure.write.get(), F_DUPFD_CLOEXEC, ready.first_free));
    if (!failure.write)
        throw SystemError("Cannot start", ready.program, errno);
    hear_of_children();

    pid_t pid = -1;
    {
        const SignalsBlocked blocked;
        pid = fork();
        if (pid == 0) {
            become(ready);
            const int why = errno;
            // Should even this fail, the parent sees an exit status of 127.
            [[maybe_unused]] const ssize_t told = write(failure.write.get(), &why, sizeof why);
            _exit(127);
        }
    }
    if (pid < 0)
        throw SystemError("Cannot start", ready.program, errno);
    setpgid(pid, pid); // also here: whoever comes first; it fails after the child's exec, harmlessly
    auto child = std::make_unique<Launched>(pid);
    failure.write.close();
    if (const int why = read_failure(failure.read.get()); why != 0)
        throw Error(ErrorCode::program_missing,
                    fmt::format("Cannot start {}: {}", ready.program, std::generic_category().message(why)),
                    Reason::program_missing);
    child->output = std::move(output.read);
    child->errors = std::move(errors.read);
    child->end = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!child->end || fcntl(child->output.get(), F_SETFL, O_NONBLOCK) != 0 ||
        fcntl(child->errors.get(), F_SETFL, O_NONBLOCK) != 0)
        throw SystemError("Cannot watch", ready.program, errno);
    return child;
}

} // namespace disktool
