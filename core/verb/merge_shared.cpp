// SPDX-License-Identifier: LGPL-2.1-or-later
#include "verb/merge_shared.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <set>

namespace disktool {

namespace {

constexpr std::size_t most_told = 10;
constexpr std::size_t head_size = 4096;

/// The backing name that the file stores, where it is an image; what cannot be read is nobody's image.
std::optional<std::string> backing_name(Session& session, const std::string& path) {
    try {
        FileDoor& files = session.doors().files;
        const std::optional<FileStatus> status = files.status(path);
        if (!status || status->type != FileType::regular || status->size < 512) {
            return std::nullopt;
        }
        const std::unique_ptr<File> file = files.open(path, {});
        std::vector<std::byte> head(head_size);
        head.resize(file->read_some(0, head));
        const std::optional<std::string> format = session.registry().probe_format(head, path);
        return format ? session.registry().format(*format).backing_name(*file) : std::nullopt;
    } catch (const Error&) {
        return std::nullopt;
    }
}

} // namespace

std::vector<std::string> other_users(Session& session, const std::vector<std::string>& backing_files) {
    FileDoor& files = session.doors().files;
    std::set<std::string> chain{session.path()};
    std::set<std::string> folders{directory_of(session.path())};
    for (const std::string& path : backing_files) {
        chain.insert(files.real_path(path));
        folders.insert(directory_of(files.real_path(path)));
    }
    std::vector<std::string> users;
    for (const std::string& folder : folders) {
        for (const std::string& name : files.list(folder)) {
            const std::string path = folder + "/" + name;
            if (users.size() == most_told || !files.status(path) || chain.contains(files.real_path(path))) {
                continue;
            }
            const std::optional<std::string> stored = backing_name(session, path);
            if (!stored) {
                continue;
            }
            const std::string used = stored->starts_with('/') ? *stored : folder + "/" + *stored;
            const std::optional<FileStatus> status = files.status(used);
            for (const std::string& backing : backing_files) {
                if (status && status->same_file(files.status(backing).value())) {
                    users.push_back(fmt::format("{} uses {}", path, backing));
                }
            }
        }
    }
    return users;
}

} // namespace disktool
