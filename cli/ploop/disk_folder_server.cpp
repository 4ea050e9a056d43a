// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk_folder_server.h"

#include "device/control_message.h"
#include "engine/fuse_view.h"
#include "output.h"
#include "partition/table.h"

#include <disktool/doors.h>
#include <disktool/log.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <utility>

namespace disktool::ploop::cli {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds glance{100};

class Words {
  public:
    explicit Words(disktool::Descriptor pipe) : pipe_(std::move(pipe)) {}
    void tell(const Json& word) {
        std::string line = word.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
        for (std::string_view rest = line; !rest.empty() && pipe_;) {
            const ssize_t count = write(pipe_.get(), rest.data(), rest.size());
            if (count < 0 && errno != EINTR) {
                return pipe_.close(); // whoever started us has gone; the disk is served all the same
            }
            rest.remove_prefix(count < 0 ? 0 : static_cast<std::size_t>(count));
        }
    }
    void end() { pipe_.close(); }

  private:
    disktool::Descriptor pipe_;
};

/// A process of its own: no terminal, no signals but the one that ends it.
void leave_parent() {
    setsid();
    for (const int number : {SIGHUP, SIGPIPE, SIGINT, SIGUSR1}) {
        std::signal(number, SIG_IGN);
    }
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigprocmask(SIG_BLOCK, &ending, nullptr);
}

bool told_to_end() {
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    const timespec now{};
    return sigtimedwait(&ending, nullptr, &now) == SIGTERM;
}

/// Whoever waits for the end of our output need not wait for the end of the disk.
void leave_streams() {
    const disktool::Descriptor nothing(open("/dev/null", O_RDWR | O_CLOEXEC));
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        dup2(nothing.get(), stream);
    }
    if (chdir("/") != 0) {
        syslog(LOG_NOTICE, "the working folder stays in use");
    }
    set_log_receiver([](LogLevel level, std::string_view line) {
        if (level == LogLevel::warning) {
            syslog(LOG_WARNING, "%s", std::string(line).c_str());
        }
    });
}

/// The whole disk, and each partition that can be told; a table that cannot be read hides none of the disk.
std::vector<ViewFile> files_of(BlockDevice& device, Words& words) {
    std::vector<ViewFile> files{{"disk", {0, device.size()}}};
    try {
        for (const Partition& partition : read_partition_table(device).partitions) {
            if (!partition.extended) {
                files.push_back({fmt::format("p{}", partition.number), partition.range});
            }
        }
    } catch (const Error& error) {
        words.tell({{"warning", fmt::format("Only the whole disk is shown: {}", error.what())}});
    }
    return files;
}

Json listing(const std::string& folder, const std::vector<ViewFile>& files) {
    Json list = Json::array();
    for (const ViewFile& file : files) {
        list.push_back({{"path", folder + "/" + file.name}, {"size", file.range.length}});
    }
    return list;
}

void serve(const RunningSource& source, const std::string& folder, Words& words) {
    const std::unique_ptr<RunningDisk> disk =
        RunningDisk::open(real_doors(), source, [&](const std::string& line) {
            words.tell({{"say", line}});
        });
    try {
        ChainDevice& device = disk->device();
        ViewOptions options;
        options.owner = geteuid();
        options.group = getegid();
        options.discard_unit = std::uint64_t{disk->cluster_sectors()} * sector_size;
        options.mount_point = folder;
        options.shown_source = shown_name(source);
        options.shown_type = "ploop";
        const std::vector<ViewFile> files = files_of(device, words);
        const std::unique_ptr<FuseView> view = mount_view(device, files, options, real_doors().processes);
        words.tell({{"ok", true}, {"files", listing(folder, files)}});
        words.end();
        leave_streams();
        while (!view->wait_for_end(glance)) {
            if (told_to_end()) {
                break;
            }
        }
        view->unmount(milliseconds(0));
    } catch (...) {
        disk->close();
        throw;
    }
    disk->close();
}

} // namespace

const std::string& shown_name(const RunningSource& source) {
    return source.descriptor.empty() ? source.images.back() : source.descriptor;
}

void serve_disk_folder(const RunningSource& source, const std::string& folder, disktool::Descriptor pipe) {
    int exit = 0;
    {
        leave_parent();
        openlog("ploop", LOG_PID, LOG_DAEMON);
        Words words(std::move(pipe));
        try {
            serve(source, folder, words);
        } catch (const Error& error) {
            // No FUSE: as for a device that cannot be had.
            exit = error.code() == ErrorCode::program_missing ? static_cast<int>(Exit::device_open)
                                                              : exit_code_of(error);
            words.tell(error_message(error, exit));
            syslog(LOG_ERR, "%s: %s", shown_name(source).c_str(), error.what());
        } catch (const std::exception& error) {
            exit = 1;
            words.tell(error_message(Error(ErrorCode::failure, fmt::format("internal error: {}", error.what())),
                                     exit));
        }
    }
    _exit(exit); // the streams and what else the parent had are the parent's to end
}

} // namespace disktool::ploop::cli
