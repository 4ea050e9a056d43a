// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/worker_thread.h"

#include <disktool/error.h>
#include <disktool/size.h>

namespace disktool {

namespace {
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t stack_size = 8 * MiB; // its frames are much larger
#else
constexpr std::size_t stack_size = 256 * KiB;
#endif

void* run(void* work) {
    (*static_cast<std::function<void()>*>(work))();
    return nullptr;
}
} // namespace

WorkerThread::WorkerThread(std::function<void()> work) : work_(std::move(work)) {
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error == 0) {
        pthread_attr_setstacksize(&attributes, stack_size);
        error = pthread_create(&thread_, &attributes, run, &work_);
        pthread_attr_destroy(&attributes);
    }
    if (error != 0) {
        throw SystemError("Cannot start", "a thread that answers requests", error);
    }
}

} // namespace disktool
