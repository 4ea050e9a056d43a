// SPDX-License-Identifier: LGPL-2.1-or-later
#include "confinement.h"

#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <memory>

namespace disktool::sandbox {

namespace {

constexpr const char* refused[] = {
    // file trees and namespaces
    "mount", "umount2", "umount", "pivot_root", "chroot", "mount_setattr", "move_mount", "open_tree", "fsopen",
    "fsconfig", "fsmount", "fspick", "unshare", "setns", "mknod", "mknodat", "open_by_handle_at",
    "name_to_handle_at", "quotactl", "quotactl_fd", "swapon", "swapoff", "acct",
    // other processes
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp",
    // the kernel
    "bpf", "perf_event_open", "userfaultfd", "init_module", "finit_module", "delete_module", "kexec_load",
    "kexec_file_load", "reboot", "keyctl", "add_key", "request_key", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "iopl", "ioperm", "modify_ldt", "syslog", "nfsservctl", "lookup_dcookie", "vhangup",
    // the host's clock and name
    "settimeofday", "clock_settime", "clock_settime64", "clock_adjtime", "clock_adjtime64", "adjtimex", "stime",
    "sethostname", "setdomainname",
    // the network, and whoever listens on this host
    "socket", "connect", "bind", "listen", "accept", "accept4"};

constexpr unsigned long namespace_flags[] = {CLONE_NEWNS,  CLONE_NEWNET,  CLONE_NEWPID,   CLONE_NEWIPC,
                                             CLONE_NEWUTS, CLONE_NEWUSER, CLONE_NEWCGROUP};

bool add(scmp_filter_ctx filter, int error_number, const char* name) {
    const int call = seccomp_syscall_resolve_name(name);
    // Calls that this architecture or this libseccomp does not have.
    if (call == __NR_SCMP_ERROR)
        return true;
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(static_cast<unsigned>(error_number)), call, 0) == 0;
}

bool add_all(scmp_filter_ctx filter) {
    for (const char* name : refused) {
        if (!add(filter, EPERM, name))
            return false;
    }
    // Its flags lie in memory, where no filter can look; the C library then takes clone.
    if (!add(filter, ENOSYS, "clone3"))
        return false;
    for (const unsigned long flag : namespace_flags) {
        if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag)) != 0)
            return false;
    }
    // Typing into the terminal that we were started from.
    for (const unsigned long request : {TIOCSTI, TIOCLINUX}) {
        if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                             SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffUL, request)) != 0)
            return false;
    }
    return true;
}

struct Release {
    void operator()(void* filter) const { seccomp_release(filter); }
};

} // namespace

void filter_system_calls(const Report& report) {
    const std::unique_ptr<void, Release> filter(seccomp_init(SCMP_ACT_ALLOW));
    if (!filter || !add_all(filter.get())) {
        errno = EINVAL;
        report.missing("a filter of system calls");
        return;
    }
    if (const int result = seccomp_load(filter.get()); result != 0) {
        errno = -result;
        report.missing("a filter of system calls");
    }
}

} // namespace disktool::sandbox
