// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/appliance/watchdog.h"

#include <disktool/doors.h>
#include <disktool/error.h>

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <condition_variable>
#include <csignal>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>

namespace disktool {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds look_interval{50};
constexpr milliseconds grace{2000}; // from SIGTERM to SIGKILL

/// A small file of /proc, empty when the process is gone.
std::string proc_text(const std::string& path) {
    constexpr std::size_t most = 1 << 20;
    try {
        return real_doors().files.read_text(path, most);
    } catch (const Error&) {
        return {};
    }
}

bool is_supermin(pid_t pid) {
    return proc_text(fmt::format("/proc/{}/comm", pid)).starts_with("supermin");
}

} // namespace

Watchdog::Watchdog(const CancelToken* cancel, Clock::time_point deadline, std::function<void(int)> signal)
    : cancel_(cancel), deadline_(deadline), signal_(std::move(signal)),
      thread_([this](const std::stop_token& stop) { watch(stop); }) {}

void Watchdog::watch(const std::stop_token& stop) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr); // signals are for the threads that work
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any never; // only a stop request wakes it early
    const auto pause = [&] { never.wait_for(lock, stop, look_interval, [] { return false; }); };
    while (!stop.stop_requested() && !(cancel_ && cancel_->cancelled()) && Clock::now() < deadline_)
        pause();
    const Clock::time_point begin = Clock::now();
    expired_ = begin >= deadline_;
    while (!stop.stop_requested()) {
        signal_(Clock::now() - begin < grace ? SIGTERM : SIGKILL);
        pause();
    }
}

ChildrenOfThread::ChildrenOfThread() : thread_(gettid()), before_(children()) {}

std::set<pid_t> ChildrenOfThread::children() const {
    std::istringstream text(proc_text(fmt::format("/proc/self/task/{}/children", thread_)));
    std::set<pid_t> result;
    for (pid_t pid = 0; text >> pid;)
        result.insert(pid);
    return result;
}

void ChildrenOfThread::signal(int number) const {
    for (const pid_t pid : children()) {
        if (before_.contains(pid) || is_supermin(pid))
            continue;
        const Descriptor process = open_process(pid);
        // Once more, now that the descriptor holds it: the number may have been given away in between.
        if (process && children().contains(pid))
            signal_process(process, number);
    }
}

Descriptor open_process(pid_t pid) {
    return Descriptor(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}

void signal_process(const Descriptor& process, int number) {
    // Fails when it is gone already, which is as well.
    syscall(SYS_pidfd_send_signal, process.get(), number, nullptr, 0);
}

} // namespace disktool
