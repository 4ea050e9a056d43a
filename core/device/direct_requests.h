// SPDX-License-Identifier: LGPL-2.1-or-later
// Reads and writes that run beside the threads that ask for them.
#pragma once

#include "device/io_memory.h"
#include "device/worker_thread.h"

#include <disktool/api.h>
#include <disktool/block_device.h>

#include <libaio.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

namespace disktool {

/// Small reads and writes past the host's cache by the kernel's asynchronous I/O (libaio): a thread that asks
/// goes on to the next request, so that the host's disk has many of them to work on, and one thread takes what
/// is ready, many at a time. All of the memory is there from the beginning. Threads: any may begin one.
class DISKTOOL_API DirectRequests {
  public:
    static constexpr unsigned most = 64;             ///< under way
    static constexpr std::size_t largest = 32 << 10; ///< bytes of one; more than `most` would hold much memory
    struct Request {
        BlockDevice::Place place;
        std::size_t length;
        void* token;                        ///< whose it is: handed through
        int queue;                          ///< the same
        const std::byte* written = nullptr; ///< the bytes to write, copied by begin(); null: a read
    };
    /// Called in the thread of this object for each that was begun. `data`: what was read or written, less than
    /// wanted behind the end of the file or where the host is full; valid during the call. `error`: an errno
    /// value, or 0. Must not throw, nor wait for another of these requests.
    using Answer = std::function<void(const Request& request, std::span<std::byte> data, int error)>;

    /// None: the host has no asynchronous I/O, or none left (fs.aio-max-nr).
    static std::unique_ptr<DirectRequests> start(Answer answer);
    DirectRequests(const DirectRequests&) = delete;
    DirectRequests& operator=(const DirectRequests&) = delete;
    /// Waits for those that are under way. None may be begun any more.
    ~DirectRequests();

    /// False: it is not, and will not be answered, since too many are under way or the host refuses it.
    bool begin(const Request& request);

  private:
    struct Slot {
        iocb block{};
        Request request{};
        std::byte* memory = nullptr;
    };

    explicit DirectRequests(Answer answer) : answer_(std::move(answer)) {}
    bool prepare();
    void answer_all();
    Slot* take_slot();
    void give_back(Slot* slot);

    Answer answer_;
    io_context_t context_ = nullptr;
    int end_ = -1; ///< an eventfd: the end of the thread
    iocb wait_for_end_{};
    std::optional<IoMemory> memory_;
    std::vector<Slot> slots_;
    std::mutex mutex_;
    std::vector<Slot*> free_; ///< with mutex_
    std::atomic<unsigned> under_way_{0};
    std::optional<WorkerThread> thread_;
};

} // namespace disktool
