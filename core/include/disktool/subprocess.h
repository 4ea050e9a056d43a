// SPDX-License-Identifier: LGPL-2.1-or-later
// The door to other programs: argument vectors (no shell), captured output, time-outs, the whole group killed.
#pragma once

#include <disktool/api.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace disktool {

class CancelToken;

struct Command {
    std::vector<std::string> arguments;                           ///< [0] is the program, looked up in PATH
    std::string input;                                            ///< for its standard input; else /dev/null
    std::vector<std::pair<std::string, std::string>> environment; ///< added to ours; LC_ALL=C is always set
    std::vector<std::pair<int, int>> descriptors;                 ///< {ours, the child's}: passed on
    bool listen_pid = false; ///< set LISTEN_PID to the child's own pid (systemd socket activation)
    std::optional<std::chrono::milliseconds> timeout;
    CancelToken* cancel = nullptr; ///< when cancelled, the group is terminated and Error(interrupted) thrown
    std::size_t output_limit = 64 << 20; ///< bytes kept of each stream; the rest is read and dropped
    /// Asked now and then, from the thread that waits: true ends the group, as a signal from outside would.
    std::function<bool()> futile;

    std::string text() const; ///< as one would type it, quoted where needed
};

struct CommandResult {
    int exit_status = 0; ///< 128 + signal where one ended it
    bool timed_out = false;
    std::string output;
    std::string errors;
    std::chrono::milliseconds duration{};

    bool ok() const { return exit_status == 0 && !timed_out; }
};

/// A program that runs beside us. Destroying it ends its whole process group.
class DISKTOOL_API Process {
  public:
    Process() = default;
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    virtual ~Process();

    virtual int pid() const = 0;
    virtual bool running() = 0;
    /// Waits for its end; none when the time is over.
    virtual std::optional<CommandResult> wait(std::chrono::milliseconds limit) = 0;
    /// SIGTERM to the group, SIGKILL two seconds later. Returns when it is gone.
    virtual void terminate() = 0;
};

/// Threads: any. Each command and its result goes to the log (see log.h).
class DISKTOOL_API ProcessDoor {
  public:
    ProcessDoor() = default;
    ProcessDoor(const ProcessDoor&) = delete;
    ProcessDoor& operator=(const ProcessDoor&) = delete;
    virtual ~ProcessDoor();

    /// Runs it to its end. A program that is not there is Error(program_missing), naming it; a failing one is
    /// not an error here: look at the result, or call run_checked.
    virtual CommandResult run(const Command& command) = 0;
    virtual std::unique_ptr<Process> start(const Command& command) = 0;

    /// As run, but an exit status other than 0 is Error(program_missing) with the last line it wrote.
    CommandResult run_checked(const Command& command);
};

} // namespace disktool
