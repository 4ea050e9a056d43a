// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk_folder.h"

#include "disk_folder_server.h"
#include "engine/view_folder.h"
#include "errors.h"
#include "in_use_mark.h"
#include "mount_users.h"
#include "ready_words.h"

#include <disktool/doors.h>

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <thread>

namespace disktool::ploop::cli {

namespace {

using std::chrono::milliseconds;

constexpr int tries = 6; // as for a mounted file system
constexpr milliseconds pause{1000};
constexpr milliseconds closing{60'000};
constexpr const char* filesystem_type_of_folder = "fuse.ploop";

/// What fusermount3 demands of a user who is not root, and tells his terminal alone: he may write to the
/// folder, and one that all may write to (mode +t, as /tmp) is his.
void refuse_foreign_folder(const std::string& folder) {
    struct stat status {};
    if (geteuid() == 0 || stat(folder.c_str(), &status) != 0) {
        return;
    }
    const bool of_all = (status.st_mode & S_ISVTX) != 0 && status.st_uid != geteuid();
    if (of_all || access(folder.c_str(), W_OK) != 0) {
        throw PloopError(
            Exit::device_open, ErrorCode::failure,
            fmt::format("{}, and FUSE lets a user mount only on a folder that {}: name another one, or run it "
                        "as root",
                        of_all ? fmt::format("{} has mode +t and belongs to somebody else", folder)
                               : fmt::format("User {} may not write to {}", geteuid(), folder),
                        of_all ? "is his own, where it has that mode" : "he may write to"));
    }
}

void check_folder(const std::string& folder) {
    const std::optional<FileStatus> status = real_doors().files.status(folder);
    if (!status || status->type != FileType::directory) {
        throw ParameterError(fmt::format("{} is no folder: the disk's files need an existing one", folder));
    }
    if (const std::optional<MountPoint> point = mounted_on(folder); point && is_disk_folder(*point)) {
        throw PloopError(Exit::mount, ErrorCode::locked,
                         fmt::format("{} shows the files of {} already: \"ploop umount -m {}\" ends that",
                                     folder, point->source, folder),
                         Reason::image_in_use);
    }
    refuse_foreign_folder(folder);
}

/// Until nobody has it locked for writing.
void wait_for_close(const std::string& image) {
    const auto end = std::chrono::steady_clock::now() + closing;
    const std::unique_ptr<File> file = real_doors().files.open(image, {});
    while (!file->try_flock(LockMode::shared) && std::chrono::steady_clock::now() < end) {
        std::this_thread::sleep_for(milliseconds(5));
    }
}

/// The image that is written to, of the disk that a folder shows.
std::optional<std::string> top_image(const std::string& disk) {
    FileDoor& files = real_doors().files;
    try {
        if (disk.ends_with(".xml")) {
            const Descriptor descriptor = Descriptor::load(files, disk);
            const ImageEntry* entry = descriptor.image(descriptor.top);
            return entry == nullptr ? std::nullopt : std::optional(entry->path);
        }
        return files.status(disk) ? std::optional(disk) : std::nullopt;
    } catch (const Error&) {
        return std::nullopt; // it has gone meanwhile
    }
}

} // namespace

int open_disk_folder(const Options& options, const RunningSource& source, const std::string& folder) {
    Output& output = *options.output;
    check_folder(folder);
    const std::string path = real_doors().files.real_path(folder);
    output.json()["dry_run"] = options.dry_run;
    output.json()["folder"] = path;
    if (options.dry_run) {
        output.result(fmt::format("1. show {} as files of {}, {}, from a process in the background\n",
                                  shown_name(source), path, source.read_only ? "read-only" : "writable"));
        return 0;
    }
    Pipe pipe;
    const pid_t child = fork();
    if (child < 0) {
        throw SystemError("Cannot start", "a process in the background", errno);
    }
    if (child == 0) {
        pipe.reader.close();
        serve_disk_folder(source, path, std::move(pipe.writer)); // never returns
    }
    pipe.writer.close();
    try {
        const Json ready =
            hear_until_ready(options, pipe.reader.get(), "The process that was to show the disk");
        output.json()["files"] = ready["files"];
        output.json()["pid"] = child;
        for (const Json& file : ready["files"]) {
            output.say(fmt::format("{} ({} bytes)", file["path"].get<std::string>(),
                                   file["size"].get<std::uint64_t>()));
        }
        output.say(fmt::format("\"ploop umount -m {}\" ends it", path));
    } catch (...) {
        kill(child, SIGTERM); // our own child, which is not waited for yet: the number is its own
        waitpid(child, nullptr, 0);
        throw;
    }
    return 0;
}

bool is_disk_folder(const MountPoint& point) {
    return point.filesystem == filesystem_type_of_folder;
}

std::optional<MountPoint> disk_folder_of(const std::string& disk) {
    for (const MountPoint& point : mount_points_of_type(filesystem_type_of_folder)) {
        if (point.source == disk) {
            return point;
        }
    }
    return std::nullopt;
}

int close_disk_folder(const Options& options, const MountPoint& point) {
    Output& output = *options.output;
    output.json()["dry_run"] = options.dry_run;
    output.json()["folder"] = point.path;
    if (options.dry_run) {
        output.result(fmt::format("1. unmount the files of {} from {}\n", point.source, point.path));
        return 0;
    }
    output.say(fmt::format("Unmounting the files of {} from {}", point.source, point.path));
    for (int left = tries;; --left) {
        const int error_number = unmount_view(real_doors().processes, point.path, false);
        if (error_number == 0) {
            break;
        }
        if (error_number != EBUSY || left <= 1) {
            const std::string users = error_number == EBUSY ? users_of_mount(point) : "";
            throw PloopError(Exit::unmount, error_number == EBUSY ? ErrorCode::locked : ErrorCode::failure,
                             fmt::format("Can't unmount {}: {}{}{}", point.path,
                                         std::generic_category().message(error_number),
                                         users.empty() ? "" : ": used by ", users));
        }
        std::this_thread::sleep_for(pause);
    }
    if (const std::optional<std::string> image = top_image(point.source)) {
        wait_for_close(*image);
        if (bears_mark(*image).value_or(false)) {
            output.say(fmt::format("The process that served {} had died: the image bears the in-use mark. {}",
                                   *image,
                                   way_to_repair(point.source.ends_with(".xml") ? point.source : "", *image)));
        }
    }
    return 0;
}

} // namespace disktool::ploop::cli
