// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image/session.h"

#include "image/backing_gate.h"
#include "image/opener.h"

#include <disktool/error.h>

#include <fmt/format.h>

namespace disktool {
namespace {

constexpr int most_replacements = 100;

void require_image_file(FileDoor& files, const std::string& path, bool block_device) {
    const std::optional<FileStatus> status = block_device ? files.status(path) : std::nullopt;
    if (status && status->type == FileType::block_device) {
        return;
    }
    if (const std::optional<std::string> reason = why_not_a_file(files, path)) {
        throw Error(ErrorCode::not_found, fmt::format("Invalid disk path \"{}\": {}", path, *reason));
    }
}

struct LockedFile {
    std::unique_ptr<File> file;
    std::unique_ptr<ImageLock> lock;
};

/// The file that `path` means once we have its lock: while one waits, another program may put a new file under
/// the name (as a commit of an overlay does), and the lock of the old one protects nothing.
LockedFile open_locked(FileDoor& files, const std::string& path, const OpenOptions& options) {
    for (int attempt = 0; attempt < most_replacements; ++attempt) {
        require_image_file(files, path, options.block_device);
        std::unique_ptr<File> file = files.open(
            files.real_path(path), {.write = options.access == Access::write, .follow_links = false});
        auto lock = std::make_unique<ImageLock>(*file, options.access, options.wait, options.cancel, path);
        const std::optional<FileStatus> named = files.status(path);
        if (named && named->same_file(file->status())) {
            return {std::move(file), std::move(lock)};
        }
    }
    throw Error(
        ErrorCode::locked,
        fmt::format("{} is replaced by another program again and again; try again when that has ended", path),
        Reason::image_in_use);
}

std::string recognise(Doors doors, Registry& registry, File& file, const std::string& given_path,
                      Access access) {
    if (const std::optional<std::string> format = registry.format_by_descriptor(doors, file.path())) {
        return *format;
    }
    const std::vector<std::byte> head = read_head(file);
    if (head.empty()) {
        throw Error(ErrorCode::unsupported, fmt::format("{} is empty: it holds no disk image", given_path),
                    Reason::format_not_supported);
    }
    if (const std::optional<std::string> format = registry.probe_format(head, file.path())) {
        return *format;
    }
    if (access == Access::write) {
        throw Error(
            ErrorCode::unsupported,
            fmt::format("{0}: unsupported format \"raw\". Only \"qcow2\" is supported. Nothing in the file "
                        "says what it is, and a guest could have written whatever a guess would rest on. If "
                        "it is a raw disk, convert it: qemu-img convert -f raw -O qcow2 {0} {0}.qcow2",
                        given_path),
            Reason::format_guessed);
    }
    return "raw";
}

} // namespace

std::unique_ptr<Session> Session::open(Doors doors, Registry& registry, const std::string& path,
                                       const OpenOptions& options) {
    const auto described = registry.image_behind(doors, path, options.access);
    LockedFile locked = open_locked(doors.files, described ? described->image : path, options);
    std::unique_ptr<Session> session(new Session(doors, registry));
    session->given_path_ = path;
    session->linked_from_ = described ? described->image : path;
    session->path_ = locked.file->path();
    session->access_ = options.access;
    session->options_ = options;
    session->format_ = !options.format.empty() ? options.format
                       : described             ? described->format
                                               : recognise(doors, registry, *locked.file, path, options.access);
    session->file_ = std::move(locked.file);
    session->lock_ = std::move(locked.lock);
    session->reopen();
    return session;
}

Session::~Session() = default;

void Session::reopen() {
    image_.reset();
    image_ = registry_.format(format_).open(std::make_unique<Opener>(*this));
}

void Session::follow_name() {
    image_.reset(); // with its lock on the file that has the name now
    lock_.reset();
    file_.reset();
    LockedFile locked = open_locked(doors_.files, path_, options_);
    file_ = std::move(locked.file);
    lock_ = std::move(locked.lock);
    reopen();
}

void Session::reopen_chain(bool whole_chain) {
    options_.whole_chain = whole_chain;
    reopen();
}

} // namespace disktool
