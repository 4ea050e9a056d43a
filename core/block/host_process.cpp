// SPDX-License-Identifier: LGPL-2.1-or-later
// A running child is watched by a thread of its own, which keeps reading what it writes, so that it never waits
// for us. It stays a zombie until its Process goes: so long its number, and that of its group, is not given to
// anyone else, and a signal to the group can hit nobody else.
#include "block/host_process.h"

#include "block/host_launch.h"

#include <disktool/error.h>
#include <disktool/log.h>
#include <disktool/progress.h>

#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

namespace disktool {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds look_interval{50}; // at the cancel token and the time
constexpr milliseconds grace{2000};       // from SIGTERM to SIGKILL

milliseconds since(Clock::time_point start) {
    return std::chrono::duration_cast<milliseconds>(Clock::now() - start);
}

/// As much of an output as belongs into a log.
std::string_view tail(std::string_view text) {
    constexpr std::size_t most = 16 << 10;
    return text.size() > most ? text.substr(text.size() - most) : text;
}

/// One of the child's two streams.
class Stream {
  public:
    Stream(Descriptor from, std::size_t limit) : from_(std::move(from)), limit_(limit) {}

    int descriptor() const { return from_.get(); }
    std::string take() { return std::move(text_); }

    /// One piece. False when there is nothing more for now, or for ever.
    bool read_piece() {
        std::array<char, 64 << 10> buffer;
        if (!from_)
            return false;
        const ssize_t got = ::read(from_.get(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR)
            return true;
        if (got == 0 || (got < 0 && errno != EAGAIN))
            from_.close();
        if (got <= 0)
            return false;
        text_.append(buffer.data(), std::min(static_cast<std::size_t>(got), limit_ - text_.size()));
        return true;
    }

  private:
    Descriptor from_;
    std::size_t limit_;
    std::string text_;
};

class HostProcess final : public Process {
  public:
    explicit HostProcess(const Command& command)
        : command_(command), started_(Clock::now()), child_(launch(command)),
          output_(std::move(child_->output), command.output_limit),
          errors_(std::move(child_->errors), command.output_limit), watcher_([this] { watch(); }) {}

    ~HostProcess() override {
        terminate();
        watcher_.join();
    }

    int pid() const override { return child_->pid; }

    bool running() override {
        const std::scoped_lock lock(mutex_);
        return !ended_;
    }

    std::optional<CommandResult> wait(milliseconds limit) override {
        const Clock::time_point asked = Clock::now();
        while (!wait_for_end(std::min(look_interval, limit))) {
            if (command_.cancel && command_.cancel->cancelled()) {
                terminate();
                command_.cancel->check();
            }
            if (command_.futile && command_.futile())
                terminate();
            if (command_.timeout && since(started_) >= *command_.timeout) {
                timed_out_ = true;
                terminate();
            } else if (since(asked) >= limit) {
                return std::nullopt;
            }
        }
        const std::scoped_lock lock(mutex_);
        CommandResult result = result_;
        result.timed_out = timed_out_;
        return result;
    }

    void terminate() override {
        if (wait_for_end(milliseconds(0)))
            return;
        kill(-child_->pid, SIGTERM);
        if (wait_for_end(grace))
            return;
        kill(-child_->pid, SIGKILL);
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return ended_; });
    }

  private:
    bool wait_for_end(milliseconds limit) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, limit, [this] { return ended_; });
    }

    void watch() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, nullptr); // signals are for the threads that work
        std::array<pollfd, 3> events{};
        events[0] = {.fd = child_->end.get(), .events = POLLIN, .revents = 0};
        while ((events[0].revents & POLLIN) == 0) {
            events[1] = {.fd = output_.descriptor(), .events = POLLIN, .revents = 0};
            events[2] = {.fd = errors_.descriptor(), .events = POLLIN, .revents = 0};
            poll(events.data(), events.size(), -1); // skips descriptors that are -1
            if (events[1].revents)
                output_.read_piece();
            if (events[2].revents)
                errors_.read_piece();
        }
        // What is still in the pipes; no more, for a grandchild may hold them open and go on writing.
        for (int piece = 0; piece < 16 && output_.read_piece(); ++piece)
            continue;
        for (int piece = 0; piece < 16 && errors_.read_piece(); ++piece)
            continue;
        finish();
    }

    void finish() {
        siginfo_t how{};
        waitid(P_PID, static_cast<id_t>(child_->pid), &how, WEXITED | WNOWAIT);
        CommandResult result;
        result.exit_status = how.si_code == CLD_EXITED ? how.si_status : 128 + how.si_status;
        result.output = output_.take();
        result.errors = errors_.take();
        result.duration = since(started_);
        log(LogLevel::debug, fmt::format("exit status {} after {} ms: {}", result.exit_status,
                                         result.duration.count(), command_.text()));
        if (result.exit_status != 0)
            log(LogLevel::info, fmt::format("output of {}:\n{}{}", command_.arguments.front(),
                                            tail(result.output), tail(result.errors)));
        const std::scoped_lock lock(mutex_);
        result_ = std::move(result);
        ended_ = true;
        changed_.notify_all();
    }

    const Command command_;
    const Clock::time_point started_;
    const std::unique_ptr<Launched> child_;
    Stream output_;
    Stream errors_;
    std::mutex mutex_; ///< of the three below
    std::condition_variable changed_;
    bool ended_ = false;
    CommandResult result_;
    bool timed_out_ = false; ///< of the thread that waits
    std::thread watcher_;    ///< last: it uses all of the above
};

} // namespace

CommandResult HostProcessDoor::run(const Command& command) {
    return *start(command)->wait(milliseconds::max());
}

std::unique_ptr<Process> HostProcessDoor::start(const Command& command) {
    log(LogLevel::debug, "run: " + command.text());
    return std::make_unique<HostProcess>(command);
}

} // namespace disktool
