// SPDX-License-Identifier: LGPL-2.1-or-later
#include "maintenance.h"

#include "device/device_state.h"
#include "ploop_error.h"

#include <disktool/doors.h>
#include <disktool/error.h>

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <span>

namespace disktool::ploop::cli {

namespace {

constexpr std::size_t longest_text = 256;
/// Unlike flock(2) it can be asked for without being taken, so who only looks is in nobody's way.
constexpr Range lock_byte{0, 1};

std::string path_of(int minor) {
    return device_file(minor, "work.lock");
}

std::string text_of(File& file) {
    std::string text(longest_text, '\0');
    text.resize(file.read_some(0, std::as_writable_bytes(std::span(text))));
    return text;
}

} // namespace

Maintenance::Maintenance(int minor, const std::string& what)
    : file_(real_doors().files.open(path_of(minor), {.write = true, .create = true})) {
    if (!file_->try_lock_bytes(lock_byte, LockMode::exclusive)) {
        throw PloopError(Exit::busy, ErrorCode::locked,
                         fmt::format("Can't continue, another operation is in progress on /dev/ploop{}: {}",
                                     minor, text_of(*file_)),
                         Reason::image_in_use);
    }
    const std::string text = fmt::format("{} (process {})", what, getpid());
    file_->truncate(0);
    file_->write(0, std::as_bytes(std::span(text)));
}

std::optional<std::string> Maintenance::present(int minor) {
    std::unique_ptr<File> file;
    try {
        file = real_doors().files.open(path_of(minor), {});
    } catch (const SystemError& error) {
        if (error.error_number() == ENOENT) {
            return std::nullopt; // nobody ever did anything
        }
        throw;
    }
    if (file->could_lock_bytes(lock_byte, LockMode::exclusive)) {
        return std::nullopt;
    }
    return text_of(*file);
}

} // namespace disktool::ploop::cli
