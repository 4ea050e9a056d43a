// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image_path.h"

#include "descriptor.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool::ploop {
namespace {

std::string with_slash(const std::string& folder) {
    return folder.ends_with('/') ? folder : folder + "/";
}

/// A name from a descriptor as it may be shown on a terminal.
std::string printable(std::string name) {
    std::replace_if(
        name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
    return name;
}

/// With all links followed. Of a file that is to be made, its folder's.
std::string real_path_of(FileDoor& files, const std::string& path, const std::string& claim) {
    if (files.status(path)) {
        return files.real_path(path);
    }
    // A link to nothing: what is made through it would lie anywhere.
    const std::string folder = directory_of(path);
    if (files.status(path, false) || !files.status(folder)) {
        throw Error(ErrorCode::not_found,
                    fmt::format("{}, but there is no {}. Put the file there, or correct the name in the "
                                "descriptor",
                                claim, printable(path)),
                    Reason::backing_missing);
    }
    return with_slash(files.real_path(folder)) + path.substr(path.find_last_of('/') + 1);
}

} // namespace

std::string joined_path(const std::string& folder, const std::string& name) {
    return folder.empty() || name.starts_with('/') ? name : with_slash(folder) + name;
}

std::string stored_name(const std::string& folder, const std::string& name) {
    const std::string inside = with_slash(folder);
    return !folder.empty() && name.size() > inside.size() && name.starts_with(inside)
               ? name.substr(inside.size())
               : name;
}

std::string resolve(FileDoor& files, const std::string& descriptor_path, const ImageEntry& entry,
                    const std::vector<std::string>& allowed) {
    const std::string claim = fmt::format("{} names \"{}\" as the image {}", descriptor_path,
                                          printable(entry.file), entry.uuid.text());
    const std::string own_folder = files.real_path(directory_of(descriptor_path));
    const std::string path = joined_path(own_folder, entry.file);
    if (path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..")) {
        throw Error(ErrorCode::not_found, fmt::format("{}, but that is the name of a folder", claim),
                    Reason::backing_missing);
    }
    const std::string real = real_path_of(files, path, claim);
    const auto holds = [&](const std::string& folder) { return real.starts_with(with_slash(folder)); };
    const auto allows = [&](const std::string& folder) {
        return files.status(folder) && holds(files.real_path(folder));
    };
    if (!holds(own_folder) && !std::any_of(allowed.begin(), allowed.end(), allows)) {
        throw Error(
            ErrorCode::unsupported,
            fmt::format(
                "{0}, which is {1}, outside the descriptor's own folder. If you trust the "
                "descriptor, allow the folder: --allow-backing {2} of prl_disk_tool, --allow {2} of ploop",
                claim, printable(real), printable(directory_of(real))),
            Reason::backing_outside_gate);
    }
    const std::optional<FileStatus> status = files.status(real);
    if (status && status->type != FileType::regular) {
        throw Error(ErrorCode::not_found,
                    fmt::format("{}, but {} is not a regular file", claim, printable(real)),
                    Reason::backing_missing);
    }
    return path;
}

} // namespace disktool::ploop
