// SPDX-License-Identifier: LGPL-2.1-or-later
// The session: mounting, the threads that serve, and the end.
//
// We serve a mount that we ourselves (and children of ours) use. So nothing here may touch the mounted files
// while a lock is held that a request needs, and the end must come however the users of the files behave: first
// an unmount that waits for them, then a lazy one that cuts them off.
#include "engine/fuse_view.h"

#include "engine/fuse_requests.h"
#include "engine/view_folder.h"

#include <disktool/log.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <fuse_log.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <system_error>
#include <thread>
#include <utility>

namespace disktool {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds end_of_threads{5000}; // after the last user has gone
constexpr milliseconds end_when_cut_off{500};

/// What libfuse has last said in this thread: it tells of errors in no other way.
thread_local std::string library_words;

void hear_library(fuse_log_level, const char* format, va_list arguments) {
    std::array<char, 512> text{};
    std::vsnprintf(text.data(), text.size(), format, arguments);
    library_words = text.data();
    while (!library_words.empty() && (library_words.back() == '\n' || library_words.back() == '.'))
        library_words.pop_back();
    log(LogLevel::debug, library_words);
}

void check_ranges(const BlockDevice& device, const std::vector<ViewFile>& files) {
    for (const ViewFile& file : files) {
        if (file.range.offset > device.size() || file.range.length > device.size() - file.range.offset)
            throw Error(
                ErrorCode::damaged,
                fmt::format("{}: {} bytes at offset {} lie beyond its end at {}, so no file can show them",
                            device.name(), file.range.length, file.range.offset, device.size()),
                Reason::partition_beyond_end);
    }
}

void check_host() {
    if (access("/dev/fuse", R_OK | W_OK) == 0)
        return;
    throw Error(
        ErrorCode::program_missing,
        fmt::format("A file for other programs needs FUSE, and /dev/fuse cannot be opened ({}): load the "
                    "kernel module with \"modprobe fuse\", or let the container have the device",
                    std::generic_category().message(errno)),
        Reason::program_missing);
}

/// Commas end a value, unless they are marked.
std::string option_value(const std::string& text) {
    std::string value;
    for (const char letter : text) {
        if (letter == ',' || letter == '\\') {
            value += '\\';
        }
        value += letter;
    }
    return value;
}

struct EndSession {
    void operator()(fuse_session* session) const {
        fuse_session_unmount(session); // does nothing where it was not mounted, or is not any more
        fuse_session_destroy(session);
    }
};

/// Lives until the last thread has ended, if need be longer than its view.
struct Session {
    Session(BlockDevice& device, std::vector<ViewFile> files, const ViewOptions& options)
        : content(device, std::move(files), options) {}

    bool wait_for_end(milliseconds limit) {
        std::unique_lock lock(mutex);
        return changed.wait_for(lock, limit, [this] { return ended; });
    }

    ViewContent content;
    std::unique_ptr<fuse_session, EndSession> session;
    std::mutex mutex;
    std::condition_variable changed;
    bool ended = false;
};

/// Until the file system is unmounted.
void serve(const std::shared_ptr<Session>& shared) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all,
                    nullptr); // signals are for the threads that work; the new ones inherit it
    std::unique_ptr<fuse_loop_config, decltype(&fuse_loop_cfg_destroy)> config(fuse_loop_cfg_create(),
                                                                               fuse_loop_cfg_destroy);
    fuse_loop_cfg_set_clone_fd(config.get(), 1);
    fuse_loop_cfg_set_max_threads(config.get(), shared->content.options.threads);
    fuse_loop_cfg_set_idle_threads(config.get(), shared->content.options.threads);
    fuse_session_loop_mt(shared->session.get(), config.get());
    const std::scoped_lock lock(shared->mutex);
    shared->ended = true;
    shared->changed.notify_all();
}

class MountedView final : public FuseView {
  public:
    MountedView(BlockDevice& device, std::vector<ViewFile> files, const ViewOptions& options,
                ProcessDoor& processes)
        : name_(device.name()), processes_(processes), mount_point_(options.mount_point),
          shared_(std::make_shared<Session>(device, std::move(files), options)) {
        if (mount_point_.empty()) {
            mount_point_ = folder_.emplace(processes).mount_point();
        }
        fuse_set_log_func(hear_library);
        make_session(options);
        mount();
        server_ = std::thread(serve, shared_);
        mounted_ = true;
    }

    ~MountedView() override {
        try {
            unmount(milliseconds(0));
        } catch (const std::exception& error) {
            log(LogLevel::info, error.what());
        }
    }

    std::string path(const std::string& name) const override { return mount_point_ + "/" + name; }

    void unmount(milliseconds patience) override {
        if (!std::exchange(mounted_, false))
            return;
        const bool clean = unmount_cleanly(patience);
        if (!clean)
            unmount_view(processes_, mount_point_, true);
        const bool served_out = clean && shared_->wait_for_end(end_of_threads);
        // The device may go now: whoever still asks gets errors.
        shared_->content.device.close();
        if (shared_->wait_for_end(end_when_cut_off)) {
            server_.join();
            shared_->session.reset();
        } else { // goes on until the last file is closed; the session goes with its thread
            server_.detach();
        }
        if (!served_out)
            throw Error(
                ErrorCode::failure,
                fmt::format("A program still had a file of the view of {} open after {} ms, and was cut "
                            "off from it; what it had not written yet is lost",
                            name_, patience.count()));
    }

    bool wait_for_end(milliseconds limit) override { return shared_->wait_for_end(limit); }

    std::optional<Error> first_error() const override { return shared_->content.device.first_error(); }

  private:
    void make_session(const ViewOptions& options) {
        std::string settings =
            fmt::format("fsname={},subtype={},nosuid,nodev,noexec,default_permissions",
                        option_value(options.shown_source), option_value(options.shown_type));
        if (options.allow_other)
            settings += ",allow_other";
        std::array<std::string, 3> words{"disktool", "-o", settings};
        std::array<char*, 4> pointers{words[0].data(), words[1].data(), words[2].data(), nullptr};
        fuse_args arguments = FUSE_ARGS_INIT(3, pointers.data());
        library_words.clear();
        shared_->session.reset(
            fuse_session_new(&arguments, &view_operations(), sizeof(fuse_lowlevel_ops), &shared_->content));
        fuse_opt_free_args(&arguments);
        if (!shared_->session)
            throw Error(ErrorCode::program_missing, fmt::format("FUSE cannot be used: {}", library_words),
                        Reason::program_missing);
    }

    void mount() {
        library_words.clear();
        if (fuse_session_mount(shared_->session.get(), mount_point_.c_str()) == 0) {
            // A child that kept it open would keep the mount alive after our end.
            fcntl(fuse_session_fd(shared_->session.get()), F_SETFD, FD_CLOEXEC);
            return;
        }
        const bool root = geteuid() == 0;
        throw Error(
            ErrorCode::program_missing,
            fmt::format("{} cannot be shown to other programs as a file: mounting {} with FUSE failed{}{}. {}",
                        name_, mount_point_, library_words.empty() ? "" : ": ", library_words,
                        root ? "Root must be allowed to mount (in a container: CAP_SYS_ADMIN)"
                             : "Install the package fuse3, whose fusermount3 lets users mount, or run as root"),
            Reason::program_missing);
    }

    bool unmount_cleanly(milliseconds patience) {
        if (shared_->wait_for_end(milliseconds(0)))
            return true; // and what is mounted there now is somebody else's
        const Clock::time_point end = Clock::now() + patience;
        int error_number = 0;
        // A namespace of the sandbox ends a moment after its last process: a view is never free at once.
        for (milliseconds pause{1}; (error_number = unmount_view(processes_, mount_point_, false)) == EBUSY;
             pause = std::min(pause * 2, milliseconds(100))) {
            if (Clock::now() >= end)
                return false;
            std::this_thread::sleep_for(pause);
        }
        if (error_number != 0) // someone else has unmounted it
            log(LogLevel::info,
                fmt::format("unmounting {}: {}", mount_point_, std::generic_category().message(error_number)));
        return true;
    }

    const std::string name_;
    ProcessDoor& processes_;
    std::optional<ViewFolder> folder_; ///< none: it was mounted where we were told
    std::string mount_point_;
    std::shared_ptr<Session> shared_;
    std::thread server_;
    bool mounted_ = false;
};

} // namespace

FuseView::~FuseView() = default;

std::unique_ptr<FuseView> mount_view(BlockDevice& device, std::vector<ViewFile> files,
                                     const ViewOptions& options, ProcessDoor& processes) {
    check_ranges(device, files);
    check_host();
    return std::make_unique<MountedView>(device, std::move(files), options, processes);
}

} // namespace disktool
