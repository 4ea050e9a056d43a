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

/// Who says that a file is an image of the disk.
struct Claim {
    std::string text;
    bool by_user = false; ///< else the descriptor, which somebody else may have written

    std::string other_name() const {
        return by_user ? "name another one" : "correct the name in the descriptor";
    }
    std::string way_in(const std::string& folder) const {
        return by_user
                   ? fmt::format("Name a file in that folder, or allow the other one: --allow {0}, for a disk "
                                 "that is mounted with its \"ploop mount --allow {0}\"",
                                 folder)
                   : fmt::format("If you trust the descriptor, allow the folder: --allow-backing {0} of "
                                 "prl_disk_tool, --allow {0} of ploop",
                                 folder);
    }
};

/// With all links followed. Of a file that is to be made, its folder's.
std::string real_path_of(FileDoor& files, const std::string& path, const Claim& claim) {
    if (files.status(path)) {
        return files.real_path(path);
    }
    // A link to nothing: what is made through it would lie anywhere.
    const std::string folder = directory_of(path);
    if (files.status(path, false) || !files.status(folder)) {
        throw Error(ErrorCode::not_found,
                    fmt::format("{}, but there is no {}. Put the file there, or {}", claim.text,
                                printable(path), claim.other_name()),
                    Reason::backing_missing);
    }
    return with_slash(files.real_path(folder)) + path.substr(path.find_last_of('/') + 1);
}

std::string gated_path(FileDoor& files, const std::string& descriptor_path, const std::string& name,
                       const std::vector<std::string>& allowed, const Claim& claim) {
    const std::string own_folder = files.real_path(directory_of(descriptor_path));
    const std::string path = joined_path(own_folder, name);
    if (path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..")) {
        throw Error(ErrorCode::not_found, fmt::format("{}, but that is the name of a folder", claim.text),
                    Reason::backing_missing);
    }
    const std::string real = real_path_of(files, path, claim);
    const auto holds = [&](const std::string& folder) { return real.starts_with(with_slash(folder)); };
    const auto allows = [&](const std::string& folder) {
        return files.status(folder) && holds(files.real_path(folder));
    };
    if (!holds(own_folder) && !std::any_of(allowed.begin(), allowed.end(), allows)) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("{}, which is {}, outside the descriptor's own folder. {}", claim.text,
                                printable(real), claim.way_in(printable(directory_of(real)))),
                    Reason::backing_outside_gate);
    }
    const std::optional<FileStatus> status = files.status(real);
    if (status && status->type != FileType::regular) {
        throw Error(ErrorCode::not_found,
                    fmt::format("{}, but {} is not a regular file", claim.text, printable(real)),
                    Reason::backing_missing);
    }
    return path;
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
    return gated_path(files, descriptor_path, entry.file, allowed,
                      {fmt::format("{} names \"{}\" as the image {}", descriptor_path, printable(entry.file),
                                   entry.uuid.text())});
}

std::string resolve_given(FileDoor& files, const std::string& descriptor_path, const std::string& name,
                          const std::vector<std::string>& allowed) {
    return gated_path(
        files, descriptor_path, name, allowed,
        {fmt::format("\"{}\" was given as an image of {}", printable(name), descriptor_path), true});
}

} // namespace disktool::ploop
