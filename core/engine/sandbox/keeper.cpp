// SPDX-License-Identifier: LGPL-2.1-or-later
#include "keeper.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace disktool::sandbox {

namespace {

constexpr int parent_ended = SIGUSR1;

/// The kernel lets no fork slip through it.
[[noreturn]] void kill_group() {
    kill(0, SIGKILL);
    _exit(127);
}

[[noreturn]] void wait_for(pid_t child, pid_t parent, const sigset_t& signals) {
    for (;;) {
        if (getppid() != parent)
            kill_group();
        int status = 0;
        if (waitpid(child, &status, WNOHANG) == child) {
            if (WIFEXITED(status))
                _exit(WEXITSTATUS(status));
            kill_group(); // what it would have cleared away is left
        }
        int signal = 0;
        sigwait(&signals, &signal);
    }
}

} // namespace

void keep_group() {
    const pid_t parent = getppid(); // until the call below its end kills us
    sigset_t all, before, signals;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before); // a signal for the group is for the others in it
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, parent_ended);
    prctl(PR_SET_PDEATHSIG, parent_ended);
    const pid_t keeper = getpid();
    const pid_t child = fork();
    if (child < 0)
        _exit(127);
    if (child > 0)
        wait_for(child, parent, signals);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != keeper)
        _exit(127);
    sigprocmask(SIG_SETMASK, &before, nullptr);
}

} // namespace disktool::sandbox
