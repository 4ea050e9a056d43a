// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bat_switch.h"

#include <disktool/bytes.h>
#include <disktool/error.h>
#include <disktool/log.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>

namespace disktool::ploop {

namespace {

constexpr std::uint64_t piece = 4 * MiB;

std::optional<Header> header_of(File& file) {
    std::array<std::byte, header_size> bytes;
    if (file.read_some(0, bytes) != bytes.size()) {
        return std::nullopt;
    }
    try {
        return parse_header(bytes, file.path());
    } catch (const Error&) { // another kind of file
        return std::nullopt;
    }
}

void write_header(File& file, const Header& header) {
    const auto bytes = header_bytes(header);
    file.write(0, bytes);
    file.sync_data();
}

std::vector<std::byte> table_bytes(const Header& header, const std::vector<std::uint32_t>& bat) {
    std::vector<std::byte> bytes(header.data_start() * header.cluster_size());
    std::ranges::copy(header_bytes(header), bytes.begin());
    for (std::size_t i = 0; i < bat.size(); ++i) {
        for (std::size_t k = 0; k < 4; ++k) {
            bytes[header_size + 4 * i + k] = static_cast<std::byte>(bat[i] >> (8 * k));
        }
    }
    return bytes;
}

void remove_if_there(FileDoor& files, const std::string& path) {
    if (files.status(path, false)) {
        files.remove(path);
        files.sync_directory(directory_of(path));
    }
}

/// What a run left that was killed before its point of no return. Some other file of that name is not ours to
/// remove.
void remove_rubbish(Doors doors, const std::string& index_path) {
    if (!doors.files.status(index_path, false)) {
        return;
    }
    const std::unique_ptr<File> index = doors.files.open(index_path, {.follow_links = false});
    // Not synced when the power went, its start may be missing.
    std::array<std::byte, header_size> start{};
    index->read_some(0, start);
    if (!all_zero(start) && !header_of(*index)) {
        throw Error(
            ErrorCode::recovery,
            fmt::format(
                "{} is needed for the work on its image, but a file of that name is there which is not of "
                "ploop. Move it away",
                index_path));
    }
    remove_if_there(doors.files, index_path);
}

/// From the flag on: the BAT, then the header, which ends the switch.
void take_over(FileDoor& files, File& file, File& from, Header header, const Settled& settled) {
    if (header.is_in_use()) { // the original's copies bear the mark
        header.in_use = 0;
    }
    header.flags &= ~flag_converting;
    const std::uint64_t length = header.data_start() * header.cluster_size();
    std::vector<std::byte> buffer(std::min(piece, length));
    for (std::uint64_t at = header_size; at < length;) {
        const auto part = std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), length - at));
        from.read(at, part);
        file.write(at, part);
        at += part.size();
    }
    file.sync_data();
    write_header(file, header);
    if (settled) {
        settled();
    }
    remove_if_there(files, from.path());
}

/// Of what lies in IMAGE.idx: does it belong to this image, and is it whole?
void require_fitting(const Header& header, File& index, File& file) {
    const std::uint64_t length = header.data_start() * header.cluster_size();
    if (index.status().size < length || file.status().size < length) {
        throw Error(
            ErrorCode::recovery,
            fmt::format("{} has {} bytes, but header and BAT of {} take {}: it cannot finish the change that "
                        "was interrupted. Restore the image from a backup, or give back the right file",
                        index.path(), index.status().size, file.path(), length),
            Reason::job_not_recoverable);
    }
}

} // namespace

std::string switch_file(const std::string& image_path) {
    return image_path + ".idx";
}

void switch_bat(Doors doors, File& file, const Header& header, const std::vector<std::uint32_t>& bat,
                bool& decided, const Settled& settled) {
    decided = false;
    const std::optional<Header> old = header_of(file);
    if (!old) {
        throw Error(ErrorCode::damaged, fmt::format("{} is no ploop image any more", file.path()));
    }
    const std::string index_path = switch_file(file.path());
    remove_rubbish(doors, index_path);
    std::unique_ptr<File> index;
    try {
        file.sync_data();
        index = doors.files.open(index_path, {.write = true, .create = true, .exclusive = true});
        index->take_attributes(file);
        index->write(0, table_bytes(header, bat));
        index->sync();
        doors.files.sync_directory(directory_of(index_path));
    } catch (...) {
        index.reset();
        try {
            remove_if_there(doors.files, index_path);
        } catch (const Error& error) {
            log(LogLevel::warning, error.what());
        }
        throw;
    }
    Header converting = *old;
    converting.in_use = in_use_mark;
    converting.flags |= flag_converting;
    decided = true;
    try {
        write_header(file, converting);
    } catch (...) {
        // What reached the disk is not known. With the old header back it is the old state; else the next run
        // looks at what is there, and both files are needed for that.
        write_header(file, *old);
        decided = false;
        remove_if_there(doors.files, index_path);
        throw;
    }
    take_over(doors.files, file, *index, header, settled);
}

bool switch_left(Doors doors, File& file) {
    const std::optional<Header> header = header_of(file);
    return header &&
           ((header->flags & flag_converting) != 0 || doors.files.status(switch_file(file.path()), false));
}

bool recover_switch(Doors doors, File& file, const Settled& settled) {
    const std::optional<Header> header = header_of(file);
    const std::string index_path = switch_file(file.path());
    if (!header) {
        return false;
    }
    const bool there = doors.files.status(index_path, false).has_value();
    if ((header->flags & flag_converting) == 0) {
        if (there && settled) {
            settled();
        }
        remove_rubbish(doors, index_path);
        return there;
    }
    if (!there) {
        throw Error(
            ErrorCode::recovery,
            fmt::format(
                "{} was left in the middle of a change of its whole BAT, and {}, which would finish it, "
                "is missing. Give that file back, or restore the image from a backup",
                file.path(), index_path),
            Reason::job_not_recoverable);
    }
    const std::unique_ptr<File> index = doors.files.open(index_path, {.follow_links = false});
    const std::optional<Header> wanted = header_of(*index);
    if (!wanted || wanted->cluster_sectors != header->cluster_sectors) {
        throw Error(
            ErrorCode::recovery,
            fmt::format("{} holds no header that fits to {}, whose change it should finish. Give the right "
                        "file back, or restore the image from a backup",
                        index_path, file.path()),
            Reason::job_not_recoverable);
    }
    Header checked = *wanted;
    checked.in_use = 0;
    checked.flags &= ~flag_converting;
    check_header(checked, index_path);
    require_fitting(*wanted, *index, file);
    take_over(doors.files, file, *index, *wanted, settled);
    return true;
}

} // namespace disktool::ploop
