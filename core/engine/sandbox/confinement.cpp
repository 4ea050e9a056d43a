// SPDX-License-Identifier: LGPL-2.1-or-later
#include "confinement.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace disktool::sandbox {

namespace {

void limit(int resource, rlim_t most, const char* what, const Report& report) {
    struct rlimit now {};
    if (getrlimit(static_cast<__rlimit_resource_t>(resource), &now) != 0) {
        report.missing(what);
        return;
    }
    if (now.rlim_max != RLIM_INFINITY && now.rlim_max < most)
        most = now.rlim_max;
    const struct rlimit wanted { most, most };
    if (setrlimit(static_cast<__rlimit_resource_t>(resource), &wanted) != 0)
        report.missing(what);
}

/// None left, and none to be had by executing a file.
bool drop_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3]{};
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return syscall(SYS_capset, &header, none) == 0;
}

/// Fails for who has no right to; then there is nothing to be had from the set either.
void drop_bounding_set() {
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
        prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
}

bool become(uid_t user, gid_t group) {
    return setgroups(0, nullptr) == 0 && setresgid(group, group, group) == 0 &&
           setresuid(user, user, user) == 0;
}

} // namespace

void confine(const Request& request, const Report& report) {
    limit(RLIMIT_CORE, 0, "no core files", report);
    limit(RLIMIT_NOFILE, 256, "a limit of open files", report);
    limit(RLIMIT_AS, rlim_t{16} << 30, "a limit of memory", report);
    drop_bounding_set();
    if (request.user) {
        limit(RLIMIT_NPROC, 64, "a limit of processes", report); // the user is the program's alone
        if (!become(*request.user, request.group))
            report.missing("a user of its own");
    }
    if (!drop_capabilities())
        report.missing("no capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        report.missing("no new privileges");
    prctl(PR_SET_PDEATHSIG, SIGKILL); // again: the kernel forgets it when the user changes
}

} // namespace disktool::sandbox
