// SPDX-License-Identifier: LGPL-2.1-or-later
#include "isolation.h"

#include "new_root.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace disktool::sandbox {

namespace {

struct Namespace {
    int flag;
    const char* what;
};

constexpr std::array namespaces{
    Namespace{CLONE_NEWNS, "a file tree of its own"}, Namespace{CLONE_NEWNET, "a network of its own"},
    Namespace{CLONE_NEWPID, "processes of its own"}, Namespace{CLONE_NEWIPC, "shared memory of its own"},
    Namespace{CLONE_NEWUTS, "a host name of its own"}};

bool write_to(const char* path, const std::string& text) {
    const int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    const bool written = write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    const int error_number = errno;
    close(file);
    errno = error_number;
    return written;
}

/// A user may make the other namespaces only in one of users, where he stays who he is.
bool enter_user_namespace() {
    const std::string user = std::to_string(geteuid());
    const std::string group = std::to_string(getegid());
    return unshare(CLONE_NEWUSER) == 0 && write_to("/proc/self/setgroups", "deny") &&
           write_to("/proc/self/uid_map", user + " " + user + " 1") &&
           write_to("/proc/self/gid_map", group + " " + group + " 1");
}

/// Ends as the child ends, with all that it has left behind.
[[noreturn]] void end_as(pid_t child) {
    for (;;) {
        int status = 0;
        const pid_t ended = wait(&status);
        if (ended < 0 && errno != EINTR)
            _exit(127);
        if (ended == child)
            _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
}

/// Goes on in a child, which is killed when its parent ends.
void go_on_in_child(const Report& report) {
    const pid_t child = fork();
    if (child > 0)
        end_as(child);
    if (child < 0)
        report.missing("processes of its own");
    else
        prctl(PR_SET_PDEATHSIG, SIGKILL);
}

} // namespace

void isolate(const Request& request, const Report& report) {
    if (geteuid() != 0 && !enter_user_namespace())
        report.missing("users of its own");
    int entered = 0;
    for (const Namespace& one : namespaces) {
        if (unshare(one.flag) == 0)
            entered |= one.flag;
        else
            report.missing(one.what);
    }
    if ((entered & CLONE_NEWPID) != 0)
        go_on_in_child(report); // it is the first process in there, so all others end with it
    if ((entered & CLONE_NEWNS) != 0)
        make_root(request, (entered & CLONE_NEWPID) != 0, report);
    // The first process of a namespace does not heed SIGTERM, and has to look after orphans.
    if ((entered & CLONE_NEWPID) != 0)
        go_on_in_child(report);
}

} // namespace disktool::sandbox
