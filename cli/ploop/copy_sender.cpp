// SPDX-License-Identifier: LGPL-2.1-or-later
#include "copy_sender.h"

#include "block/host_descriptor.h"
#include "command.h"
#include "common/progress_display.h"
#include "copy_send.h"
#include "copy_stream.h"
#include "running_filesystem.h"

#include <disktool/doors.h>
#include <disktool/error.h>
#include <disktool/log.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace disktool::ploop::cli {

namespace {

/// A signal is ignored while this lives.
class IgnoredSignal {
  public:
    explicit IgnoredSignal(int number) : number_(number) {
        struct sigaction ignore {};
        ignore.sa_handler = SIG_IGN;
        sigaction(number, &ignore, &before_);
    }
    IgnoredSignal(const IgnoredSignal&) = delete;
    IgnoredSignal& operator=(const IgnoredSignal&) = delete;
    ~IgnoredSignal() { sigaction(number_, &before_, nullptr); }

  private:
    int number_;
    struct sigaction before_ {};
};

/// Where standard output carries the data, nothing else may be written to it, neither by us nor by the stop
/// command: it becomes standard error, and the data go to a descriptor that children do not get.
class DataChannel {
  public:
    explicit DataChannel(int wanted) : number_(wanted) {
        if (wanted != STDOUT_FILENO) {
            return;
        }
        own_ = disktool::Descriptor(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
        if (!own_ || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
            throw SystemError("Cannot keep apart the data and the messages of", "standard output", errno);
        }
        number_ = own_.get();
    }
    int number() const { return number_; }

  private:
    int number_;
    disktool::Descriptor own_;
};

/// One connection for all: what is frozen is thawed when it ends, however that comes.
class DeviceSource final : public CopySource {
  public:
    DeviceSource(const Options& options, const RunningFilesystem& filesystem)
        : options_(options), filesystem_(filesystem),
          client_(ControlClient::connect(device_file(filesystem.device.minor, "sock"))),
          root_(open(filesystem.mount_point.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
        if (!root_) {
            throw PloopError(Exit::image_open, ErrorCode::not_found,
                             fmt::format("Cannot open {}: {}", filesystem.mount_point, std::strerror(errno)));
        }
    }

    Image start_tracking() override {
        const ControlMessage answer = ask("track_start");
        const RunningImage image = running_image(filesystem_.device);
        return {answer.at("file").get<std::string>(), answer.at("file_size").get<std::uint64_t>(),
                image.cluster, image.raw};
    }
    std::vector<Range> changes() override {
        std::vector<Range> ranges;
        const ControlMessage answer = ask("track_next");
        for (const auto& range : answer.at("ranges")) {
            ranges.push_back({range.at(0).get<std::uint64_t>(), range.at(1).get<std::uint64_t>()});
        }
        return ranges;
    }
    void stop_tracking() override { ask("track_stop"); }
    void freeze() override {
        // Also what it holds back itself: the kernel would write it while it freezes, holding everyone up.
        if (syncfs(root_.get()) != 0) {
            throw PloopError(Exit::sync, ErrorCode::failure,
                             fmt::format("Cannot sync the file system at {}: {}", filesystem_.mount_point,
                                         std::strerror(errno)));
        }
        ask("freeze");
    }
    void thaw() override {
        try {
            ask("thaw");
        } catch (const std::exception& error) {
            log(LogLevel::warning,
                fmt::format("{}; the file system is thawed when this program ends", error.what()));
        }
    }

  private:
    ControlMessage ask(const std::string& request) {
        ControlClient::Listener listener;
        listener.say = [this](const std::string& line) { options_.output->say(line); };
        listener.warn = [this](const std::string& line) { options_.output->warn(line); };
        try {
            return client_->ask(request, ControlMessage::object(), listener);
        } catch (const ControlError& error) {
            throw PloopError(static_cast<Exit>(error.exit()), error.code(), error.what(), error.reason());
        }
    }

    const Options& options_;
    const RunningFilesystem& filesystem_;
    std::unique_ptr<ControlClient> client_;
    disktool::Descriptor root_; ///< so that a stop command that unmounts it does not take it from under us
};

void run_stop_command(const std::string& command) {
    // It shall have what any program has: we ignore that signal only for ourselves.
    struct sigaction usual {
    }, before{};
    usual.sa_handler = SIG_DFL;
    sigaction(SIGPIPE, &usual, &before);
    const int status = std::system(command.c_str());
    sigaction(SIGPIPE, &before, nullptr);
    if (status == 0) {
        return;
    }
    const std::string how = status == -1          ? std::strerror(errno)
                            : WIFSIGNALED(status) ? fmt::format("it was killed by signal {}", WTERMSIG(status))
                                                  : fmt::format("its exit status is {}", WEXITSTATUS(status));
    throw PloopError(Exit::stop_command, ErrorCode::failure,
                     fmt::format("The stop command \"{}\" failed: {}. The copy is given up; the disk goes on",
                                 command, how));
}

/// A file of a copy that is not whole is of no use.
class NewFile {
  public:
    NewFile(FileDoor& files, const std::string& path) : files_(files) {
        try {
            file_ = files.open(path, {.write = true, .create = true, .exclusive = true});
        } catch (const Error& error) {
            throw PloopError(Exit::no_memory_or_failure, error.code(), error.what(), error.reason());
        }
    }
    NewFile(const NewFile&) = delete;
    NewFile& operator=(const NewFile&) = delete;
    ~NewFile() {
        if (kept_) {
            return;
        }
        try {
            files_.remove(file_->path());
        } catch (const Error& error) {
            log(LogLevel::warning, error.what());
        }
    }
    File& file() { return *file_; }
    void keep() {
        files_.sync_directory(directory_of(file_->path()));
        kept_ = true;
    }

  private:
    FileDoor& files_;
    std::unique_ptr<File> file_;
    bool kept_ = false;
};

/// What is written there would have to wait for the file system that is frozen.
void refuse_own_disk(const RunningFilesystem& filesystem, const FileStatus& status) {
    struct stat root {};
    if (stat(filesystem.mount_point.c_str(), &root) == 0 && status.device == root.st_dev) {
        throw ParameterError(
            fmt::format("The copy cannot lie on the disk that is copied ({})", filesystem.mount_point));
    }
}

void send(const Options& options, const CopySend& request, RunningFilesystem& filesystem, CopyTarget& target) {
    DeviceSource source(options, filesystem);
    disktool::cli::ProgressDisplay display(
        {.quiet = options.output->silent(), .json_descriptor = options.progress_descriptor.value_or(-1)});
    SendOptions sending;
    sending.cancel = options.cancel;
    sending.say = [&](const std::string& line) { options.output->say_aside(line); };
    sending.progress = [&](std::uint64_t done, std::uint64_t total) {
        display.update({.step = "copy", .index = 0, .steps = 1, .done = done, .total = total});
    };
    if (!request.stop_command.empty()) {
        sending.stop = [&] { run_stop_command(request.stop_command); };
    }
    try {
        send_copy(real_doors(), source, target, sending);
        display.finished(true);
    } catch (...) {
        display.finished(false);
        throw;
    }
}

void send_to_file(const Options& options, const CopySend& request, RunningFilesystem& filesystem) {
    NewFile file(real_doors().files, request.file);
    refuse_own_disk(filesystem, file.file().status());
    const std::unique_ptr<CopyTarget> target = file_target(file.file());
    send(options, request, filesystem, *target);
    file.keep();
}

} // namespace

int send_device(const Options& options, const CopySend& request) {
    RunningFilesystem filesystem = filesystem_of_device(options, request.device);
    if (!filesystem.mounted()) {
        throw PloopError(
            Exit::image_open, ErrorCode::unsupported,
            fmt::format("Nothing is mounted on {}: its file system is frozen for the end of the copy. A "
                        "disk that is not in use is copied with its folder",
                        filesystem.device.node));
    }
    Json& json = options.output->json();
    json["device"] = filesystem.device.node;
    json["dry_run"] = options.dry_run;
    if (options.dry_run) {
        options.output->result(
            fmt::format("1. send {} to {}, again what is written meanwhile, and the rest while {} is frozen\n",
                        filesystem.device.images.back().path,
                        request.file.empty() ? fmt::format("file descriptor {}", request.output) : request.file,
                        filesystem.mount_point));
        return 0;
    }
    const IgnoredSignal broken_pipe(SIGPIPE); // a receiver that has gone is an error like others
    if (!request.file.empty()) {
        send_to_file(options, request, filesystem);
        return 0;
    }
    struct stat status {};
    if (fstat(request.output, &status) != 0) {
        throw ParameterError(fmt::format("File descriptor {} is not open", request.output));
    }
    if (request.feedback) {
        require_stream(*request.feedback, "feedback");
    }
    const DataChannel channel(request.output);
    if (S_ISREG(status.st_mode)) {
        const std::unique_ptr<File> file =
            real_doors().files.open(fmt::format("/proc/self/fd/{}", channel.number()), {.write = true});
        refuse_own_disk(filesystem, file->status());
        send(options, request, filesystem, *file_target(*file));
        return 0;
    }
    require_stream(channel.number(), "output");
    send(options, request, filesystem, *stream_target(channel.number(), request.feedback, options.cancel));
    return 0;
}

} // namespace disktool::ploop::cli
