// SPDX-License-Identifier: LGPL-2.1-or-later
// The mount that is attached nowhere, and the threads that serve it.
//
// libfuse speaks the protocol; the threads are our own, since each hands libfuse a buffer in which the data of
// a write comes to lie on a page boundary, where direct I/O can take it without a copy.
#include "device/fuse_disk.h"

#include "block/host_descriptor.h"
#include "device/fuse_disk_requests.h"
#include "device/io_memory.h"
#include "device/worker_thread.h"

#include <disktool/log.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <fuse_log.h>
#include <linux/fuse.h>
#include <linux/mount.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <deque>
#include <system_error>
#include <thread>
#include <vector>

namespace disktool {

namespace {

constexpr std::size_t page = 4096;
/// What stands before the data of a write in its request (struct fuse_in_header, struct fuse_write_in).
constexpr std::size_t head_of_write = sizeof(fuse_in_header) + sizeof(fuse_write_in);
/// More than libfuse reads at a time: 256 pages and its room for a header.
constexpr std::size_t largest_request = (256 + 2) * page;
constexpr std::size_t memory_of_thread = page + largest_request;

[[noreturn]] void no_fuse(const std::string& what, int error_number) {
    throw Error(
        ErrorCode::program_missing,
        fmt::format("A device for the disk needs FUSE, and {} ({}): load the kernel module with \"modprobe "
                    "fuse\" and run as root; in a container, let it have /dev/fuse and CAP_SYS_ADMIN",
                    what, std::generic_category().message(error_number)),
        Reason::program_missing);
}

void set_string(int context, const char* key, const std::string& value) {
    if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value.c_str(), 0) != 0) {
        no_fuse(fmt::format("the kernel does not take {}={} for it", key, value), errno);
    }
}

void set_flag(int context, const char* key) {
    if (syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, key, nullptr, 0) != 0) {
        no_fuse(fmt::format("the kernel does not take {} for it", key), errno);
    }
}

/// A mount of the file system that `connection` (an open /dev/fuse) serves. It is there as long as its
/// descriptor or a file in it is open.
Descriptor detached_mount(int connection) {
    const Descriptor context(static_cast<int>(syscall(SYS_fsopen, "fuse", FSOPEN_CLOEXEC)));
    if (context.get() < 0) {
        no_fuse("the kernel knows no such file system", errno);
    }
    set_string(context.get(), "source", "disktool");
    set_string(context.get(), "subtype", "disktool");
    set_string(context.get(), "fd", std::to_string(connection));
    set_string(context.get(), "rootmode", "40000");
    set_string(context.get(), "user_id", std::to_string(geteuid()));
    set_string(context.get(), "group_id", std::to_string(getegid()));
    set_flag(context.get(), "allow_other"); // the kernel's own threads ask as root
    set_flag(context.get(), "default_permissions");
    if (syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
        no_fuse("it cannot be set up", errno);
    }
    Descriptor mount(static_cast<int>(syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC,
                                              MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)));
    if (mount.get() < 0) {
        no_fuse("it cannot be mounted", errno);
    }
    return mount;
}

/// A queue of answers of the thread's own at the same connection (clone_fd), so that threads do not wait for
/// each other's lock in the kernel. None: the kernel gives none, and all share one.
Descriptor clone_of(int connection) {
    Descriptor queue(open("/dev/fuse", O_RDWR | O_CLOEXEC));
    auto source = static_cast<std::uint32_t>(connection);
    if (!queue || ioctl(queue.get(), FUSE_DEV_IOC_CLONE, &source) != 0) {
        return {};
    }
    return queue;
}

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 14)
constexpr bool own_queues = true;

ssize_t read_request(int, void* buffer, size_t length, void*) {
    return read(answer_queue, buffer, length);
}

ssize_t write_answer(int, iovec* parts, int count, void*) {
    return writev(answer_queue, parts, count);
}

void connect_session(fuse_session* session, int connection) {
    fuse_custom_io io{};
    io.read = read_request;
    io.writev = write_answer;
    if (const int error = fuse_session_custom_io(session, &io, connection)) {
        no_fuse("libfuse does not take the connection", -error);
    }
}
#else
constexpr bool own_queues = false;

void connect_session(fuse_session* session, int connection) {
    if (fuse_session_mount(session, fmt::format("/dev/fd/{}", connection).c_str()) != 0) {
        no_fuse("libfuse does not take the mount", EINVAL);
    }
}
#endif

/// Ends the wait for the next request, and does nothing else.
constexpr int wake_signal = SIGUSR2;
void wake(int) {}

class ServedDisk final : public FuseDisk {
  public:
    ServedDisk(BlockDevice& device, const FuseDiskOptions& options)
        : content_(device, options), memory_(std::max(1U, options.threads) * memory_of_thread) {
        make_session();
        struct sigaction action {};
        action.sa_handler = wake; // without SA_RESTART
        sigaction(wake_signal, &action, nullptr);
        for (unsigned i = 0; i < std::max(1U, options.threads); ++i) {
            queues_.push_back(own_queues ? clone_of(fuse_session_fd(session_)) : Descriptor());
        }
        try {
            for (const Descriptor& queue : queues_) {
                std::byte* const memory = memory_.start() + threads_.size() * memory_of_thread;
                threads_.emplace_back([this, own = queue ? queue.get() : fuse_session_fd(session_), memory] {
                    serve_requests(own, memory);
                });
            }
            // The kernel asks once whether we want to hear of each close, and then remembers that we do not.
            // Later it might ask when we are killed, and wait for an answer that cannot come. For the same
            // reason no file of ours stays open here.
            Descriptor(open_file(false)).close();
        } catch (...) {
            end();
            throw;
        }
    }

    ~ServedDisk() override { end(); }

    int open_file(bool writable) override {
        const int flags = (writable ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC;
        const int file = openat(mount_.get(), content_.options.shown_name.c_str(), flags);
        if (file < 0) {
            throw SystemError("Cannot open the file that stands for", content_.device.name(), errno);
        }
        return file;
    }

    void follow_size() override {
        // The answer to this has the new size, which the kernel then believes of the file.
        const Descriptor file(open_file(true));
        if (ftruncate(file.get(), static_cast<off_t>(content_.device.size())) != 0) {
            throw SystemError("Cannot tell the kernel the new size of", content_.device.name(), errno);
        }
    }

    Counters counters() const override { return content_.counters.now(); }
    std::optional<Error> first_error() const override { return content_.first_error(); }

  private:
    void make_session() {
        Descriptor connection(open("/dev/fuse", O_RDWR | O_CLOEXEC));
        if (connection.get() < 0) {
            no_fuse("/dev/fuse cannot be opened", errno);
        }
        mount_ = detached_mount(connection.get());
        std::string name = "disktool";
        std::array<char*, 2> words{name.data(), nullptr};
        fuse_args arguments = FUSE_ARGS_INIT(1, words.data());
        session_ = fuse_session_new(&arguments, &fuse_disk_operations(), sizeof(fuse_lowlevel_ops), &content_);
        fuse_opt_free_args(&arguments);
        if (session_ == nullptr) {
            no_fuse("libfuse gives no session", EINVAL);
        }
        connect_session(session_, connection.get());
        (void)connection.release(); // it is the session's, which closes it
    }

    void serve_requests(int queue, std::byte* memory) {
        sigset_t all;
        sigfillset(&all);
        sigdelset(&all, wake_signal);
        pthread_sigmask(SIG_SETMASK, &all, nullptr);
        // What a request reads may lie where the data of a write would: libfuse has taken in the request by
        // then.
        set_read_buffer(memory + page);
        answer_queue = queue;
        fuse_buf request{};
        for (;;) {
            request.mem = memory + page - head_of_write;
            request.flags = static_cast<fuse_buf_flags>(0);
            const int length = fuse_session_receive_buf(session_, &request);
            if (length == -EINTR && !ending_) {
                continue;
            }
            if (length <= 0 || fuse_session_exited(session_) != 0) {
                break; // unmounted
            }
            fuse_session_process_buf(session_, &request);
        }
        ++ended_;
    }

    void end() {
        mount_ = {};
        ending_ = true;
        // With the last file closed they end by themselves; a signal may come before the wait that it is to
        // end.
        while (ended_ < threads_.size()) {
            for (WorkerThread& thread : threads_) {
                thread.signal(wake_signal);
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        threads_.clear();
        content_.end_direct_requests();
        queues_.clear();
        if (session_ != nullptr) {
            fuse_session_destroy(session_);
            session_ = nullptr;
        }
    }

    FuseDiskContent content_;
    Descriptor mount_;
    fuse_session* session_ = nullptr;
    std::vector<Descriptor> queues_; ///< of the threads
    IoMemory memory_;                ///< memory_of_thread of each
    std::deque<WorkerThread> threads_;
    std::atomic<bool> ending_ = false;
    std::atomic<std::size_t> ended_ = 0;
};

} // namespace

thread_local int answer_queue = -1;

FuseDisk::~FuseDisk() = default;

std::unique_ptr<FuseDisk> FuseDisk::serve(BlockDevice& device, const FuseDiskOptions& options) {
    return std::make_unique<ServedDisk>(device, options);
}

} // namespace disktool
