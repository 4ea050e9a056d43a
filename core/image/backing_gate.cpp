// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image/backing_gate.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace disktool {
namespace {

/// What QEMU takes for a protocol: a colon before the first slash.
bool names_a_protocol(const std::string& stored_name) {
    const std::size_t special = stored_name.find_first_of(":/");
    return special != std::string::npos && stored_name[special] == ':';
}

bool lies_below(const std::string& path, const std::string& folder) {
    return path.starts_with(folder.ends_with('/') ? folder : folder + "/");
}

/// A name from an image as it may be shown on a terminal.
std::string printable(std::string name) {
    std::replace_if(
        name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
    return name;
}

std::string_view type_text(FileType type) {
    switch (type) {
    case FileType::directory:
        return "a directory";
    case FileType::block_device:
        return "a block device";
    case FileType::character_device:
        return "a character device";
    case FileType::fifo:
        return "a FIFO";
    case FileType::socket:
        return "a socket";
    default:
        return "a special file";
    }
}

} // namespace

std::optional<std::string> why_not_a_file(FileDoor& files, const std::string& path) {
    const std::optional<FileStatus> status = files.status(path);
    if (!status) {
        return "there is no such file";
    }
    if (status->type != FileType::regular) {
        return fmt::format("it is {}, not a disk image file", type_text(status->type));
    }
    return std::nullopt;
}

std::string path_beside(const std::string& image_path, const std::string& stored_name) {
    return stored_name.starts_with('/') ? stored_name
                                        : fmt::format("{}/{}", directory_of(image_path), stored_name);
}

BackingGate::BackingGate(FileDoor& files, std::string own_folder, const std::vector<std::string>& allowed)
    : files_(files), own_folder_(std::move(own_folder)) {
    for (const std::string& folder : allowed) {
        if (files_.status(folder)) {
            allowed_.push_back(files_.real_path(folder));
        }
    }
}

bool BackingGate::allows(const std::string& real_path) const {
    return directory_of(real_path) == own_folder_ ||
           std::any_of(allowed_.begin(), allowed_.end(),
                       [&](const std::string& folder) { return lies_below(real_path, folder); });
}

std::string BackingGate::admit(const std::string& stored_name, const std::string& named_by,
                               const std::string& role) const {
    const std::string claim = fmt::format("{} names \"{}\" as its {}", named_by, printable(stored_name), role);
    if (names_a_protocol(stored_name)) {
        throw Error(
            ErrorCode::unsupported,
            fmt::format("{}: only names of files are followed. If you trust it, make the data a file and "
                        "point the image to it: qemu-img rebase -u -b FILE -F FORMAT {}",
                        claim, named_by),
            Reason::backing_protocol);
    }
    const std::string joined = path_beside(named_by, stored_name);
    if (!files_.status(joined)) {
        throw Error(
            ErrorCode::not_found,
            fmt::format("{}, but there is no {}. Put the file there, or point the image to where it is: "
                        "qemu-img rebase -u -b FILE -F FORMAT {}",
                        claim, printable(joined), named_by),
            Reason::backing_missing);
    }
    std::string real = files_.real_path(joined);
    if (!allows(real)) {
        throw Error(
            ErrorCode::unsupported,
            fmt::format("{}, which is {}, outside the image's own folder. If you trust the image, allow "
                        "it: --allow-backing {}",
                        claim, printable(real), printable(directory_of(real))),
            Reason::backing_outside_gate);
    }
    if (const std::optional<std::string> reason = why_not_a_file(files_, real)) {
        throw Error(ErrorCode::not_found, fmt::format("{}, but {}", claim, *reason), Reason::backing_missing);
    }
    return real;
}

} // namespace disktool
