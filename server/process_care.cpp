// SPDX-License-Identifier: LGPL-2.1-or-later
#include "process_care.h"

#include <disktool/error.h>
#include <disktool/log.h>
#include <disktool/size.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <system_error>

namespace disktool::server {

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool sanitized = true; // needs large stacks, and locks nothing
#else
constexpr bool sanitized = false;
#endif
constexpr std::size_t page = 4096;
constexpr std::size_t thread_stack = MiB;
constexpr std::size_t touched_stack = 256 * KiB;
constexpr std::size_t first_heap = 8 * MiB;
constexpr int heap_piece = 4 * MiB;
constexpr int largest_heap_part = 32 * MiB; // glibc takes no more
constexpr rlim_t many_descriptors = 65'536;

void tell(const char* what, int error_number) {
    log(LogLevel::info,
        fmt::format("The host does not permit to {}: {}", what, std::generic_category().message(error_number)));
}

void leave_memory_alone() {
    mallopt(M_TRIM_THRESHOLD, -1);
    mallopt(M_MMAP_THRESHOLD, largest_heap_part);
    mallopt(M_TOP_PAD, heap_piece);
    mallopt(M_ARENA_MAX, 1); // so that all threads take from what is there
    void* const heap = std::malloc(first_heap);
    if (heap != nullptr) {
        // All of it is about to be locked, and thereby made: cheaper in huge pages, where the kernel has them.
        const std::uintptr_t start = round_up(reinterpret_cast<std::uintptr_t>(heap), page);
        (void)madvise(reinterpret_cast<void*>(start), first_heap - page, MADV_HUGEPAGE);
    }
    std::free(heap);
}

__attribute__((noinline)) void touch_stack() {
    std::array<volatile char, touched_stack> room; // NOLINT: it is not read
    for (std::size_t at = 0; at < room.size(); at += 4096) {
        room[at] = 0;
    }
}

void set_stack_of_threads() {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) == 0) {
        pthread_attr_setstacksize(&attributes, thread_stack);
        pthread_setattr_default_np(&attributes);
        pthread_attr_destroy(&attributes);
    }
}

/// All but the 30 MiB of Unicode's tables that libxml2 brings along: nothing on the way of a request looks into
/// them, and they take longer to lock than all the rest. As mlockall(MCL_CURRENT), it takes what can be had.
bool lock_what_is_there() {
    std::ifstream maps("/proc/self/maps");
    bool locked = maps.good();
    for (std::string line; std::getline(maps, line);) {
        std::uintptr_t start = 0, end = 0;
        if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR, &start, &end) != 2 ||
            line.find("/libicudata.so") != std::string::npos || line.ends_with("[vsyscall]")) {
            continue;
        }
        // Nothing can be made of what is not accessible (ENOMEM), nor is it needed.
        if (mlock(reinterpret_cast<const void*>(start), end - start) != 0 && errno != ENOMEM) {
            locked = false;
        }
    }
    return locked;
}

void raise_limit(__rlimit_resource resource, rlim_t wanted, const char* what) {
    rlimit limit{};
    getrlimit(resource, &limit);
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = std::max(limit.rlim_cur, wanted);
    limit.rlim_max = std::max(limit.rlim_max, wanted);
    if (limit.rlim_cur == before || setrlimit(resource, &limit) == 0) {
        return;
    }
    const int error = errno;
    getrlimit(resource, &limit);
    limit.rlim_cur = std::min(wanted, limit.rlim_max);
    if (setrlimit(resource, &limit) != 0 || limit.rlim_cur < wanted) {
        tell(what, error);
    }
}

} // namespace

void become_daemon(const std::vector<int>& kept) {
    for (const bool session : {true, false}) {
        const pid_t child = fork();
        if (child < 0) {
            throw SystemError("Cannot start", "the process of the device", errno);
        }
        if (child > 0) {
            _exit(0);
        }
        // The leader of a session would get a terminal by opening one.
        if (session) {
            setsid();
        }
    }
    if (chdir("/") != 0) {
        throw SystemError("Cannot go to", "/", errno);
    }
    umask(077);
    const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        dup2(nothing, standard);
    }
    // Locks and pipes of a shell script must not stay open for as long as a device lives.
    std::vector<int> sorted{STDERR_FILENO};
    sorted.insert(sorted.end(), kept.begin(), kept.end());
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t i = 0; i < sorted.size(); ++i) {
        const unsigned first = static_cast<unsigned>(sorted[i] + 1);
        const unsigned last = i + 1 < sorted.size() ? static_cast<unsigned>(sorted[i + 1] - 1) : ~0U;
        if (sorted[i] >= STDERR_FILENO && first <= last) {
            close_range(first, last, 0);
        }
    }
}

void take_care_of_process() {
    if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0) {
        tell("be known as one that writes for the kernel (PR_SET_IO_FLUSHER)", errno);
    }
    std::ofstream score("/proc/self/oom_score_adj");
    score << -1000 << std::flush;
    if (!score.good()) {
        tell("be spared when memory is short (oom_score_adj)", EACCES);
    }
    raise_limit(RLIMIT_NOFILE, many_descriptors, "open many files");
    raise_limit(RLIMIT_MEMLOCK, RLIM_INFINITY, "lock much memory");
    leave_memory_alone();
    if (!sanitized) {
        set_stack_of_threads();
        touch_stack();
        if (mlockall(MCL_FUTURE) != 0 || !lock_what_is_there()) {
            tell("lock the memory of the process", errno);
        }
    }
}

} // namespace disktool::server
