// SPDX-License-Identifier: LGPL-2.1-or-later
// What is the same for every file and every door, real or of a test.
#include <disktool/error.h>
#include <disktool/file.h>

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace disktool {

File::~File() = default;

bool File::share_range(std::uint64_t, File&, Range) {
    return false;
}

bool File::copy_range(std::uint64_t, File&, Range) {
    return false;
}

// A file of a test has none.
void File::take_attributes(File&) {}

FileDoor::~FileDoor() = default;

void File::read(std::uint64_t offset, std::span<std::byte> buffer) {
    if (read_some(offset, buffer) < buffer.size())
        throw Error(
            ErrorCode::damaged,
            fmt::format("{} ends at {}, before the end of the {} bytes at offset {} that should be there",
                        path(), status().size, buffer.size(), offset));
}

std::string FileDoor::read_text(const std::string& path, std::size_t limit) {
    constexpr std::size_t piece = 64 << 10;
    const std::unique_ptr<File> file = open(path, {});
    std::string text;
    // By pieces up to the end: files of /proc tell no size.
    for (;;) {
        const std::size_t have = text.size();
        const std::size_t want = std::min(piece, limit - have + 1);
        text.resize(have + want);
        const std::size_t got = file->read_some(have, std::as_writable_bytes(std::span(text).subspan(have)));
        text.resize(have + got);
        if (text.size() > limit)
            throw Error(
                ErrorCode::damaged,
                fmt::format("{} is longer than {} bytes, which such a file should never be", path, limit));
        if (got < want)
            return text;
    }
}

void FileDoor::replace_text(const std::string& path, std::string_view text, std::uint32_t mode) {
    const std::string fresh = path + ".new";
    if (status(fresh, false))
        remove(fresh); // left by a run that was killed
    try {
        const std::unique_ptr<File> file = open(
            fresh, {.write = true, .create = true, .exclusive = true, .follow_links = false, .mode = mode});
        file->write(0, std::as_bytes(std::span(text)));
        file->sync();
        rename(fresh, path);
    } catch (...) {
        try {
            if (status(fresh, false))
                remove(fresh);
        } catch (const Error&) {
            // The first error is the one to tell; the next replace_text removes what is left.
        }
        throw;
    }
    sync_directory(directory_of(path));
}

std::string directory_of(const std::string& path) {
    const std::size_t name_end = path.find_last_not_of('/');
    if (name_end == std::string::npos)
        return path.empty() ? "." : "/";
    const std::size_t slash = path.find_last_of('/', name_end);
    if (slash == std::string::npos)
        return ".";
    const std::size_t folder_end = path.find_last_not_of('/', slash);
    return folder_end == std::string::npos ? "/" : path.substr(0, folder_end + 1);
}

} // namespace disktool
