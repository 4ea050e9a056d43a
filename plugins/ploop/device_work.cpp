// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device_work.h"

#include "little_endian.h"

#include <disktool/error.h>
#include <disktool/log.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace disktool::ploop {

namespace {

/// Small, so that little is copied; the files live for a moment.
constexpr std::uint32_t work_cluster_sectors = smallest_cluster_sectors;
constexpr std::uint64_t copy_piece = 4 * MiB;
constexpr std::string_view gpt_signature = "EFI PART";

struct Mark {
    std::string_view kind;
    std::uint64_t magic_offset;
    std::string_view magic;
    std::uint64_t id_offset;
    std::size_t id_length;
};

/// In the order in which they count: a file system may have left its own behind a table.
constexpr std::array marks = {
    Mark{"gpt", 512, gpt_signature, 512 + 56, 16},
    Mark{"mbr", 510, "\x55\xaa", 440, 4},
    Mark{"ext", 1024 + 56, "\x53\xef", 1024 + 104, 16},
    Mark{"xfs", 0, "XFSB", 32, 16},
    Mark{"btrfs", 64 * KiB + 64, "_BHRfS_M", 64 * KiB + 32, 16},
};

std::string text_at(File& device, std::uint64_t offset, std::size_t length) {
    std::string text(length, '\0');
    text.resize(device.read_some(offset, std::as_writable_bytes(std::span(text))));
    return text;
}

std::string hexadecimal(const std::string& bytes) {
    std::string text;
    for (const char byte : bytes) {
        text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    }
    return text;
}

std::string files_of(const std::string& folder, const std::string& mark) {
    return fmt::format("{}/device-{}", folder, mark);
}

std::string work_of(const std::string& path) {
    return path + ".work";
}
std::string redo_of(const std::string& path) {
    return path + ".redo";
}
std::string sums_of(const std::string& path) {
    return path + ".sums";
}

void remove_if_there(FileDoor& files, const std::string& path) {
    if (files.status(path, false)) {
        files.remove(path);
        files.sync_directory(directory_of(path));
    }
}

[[noreturn]] void not_followed(const std::string& redo, const std::string& why) {
    throw Error(
        ErrorCode::recovery,
        fmt::format("{} looks like what an interrupted resize of this device has still to copy to it, but "
                    "{}. If the device is in order (e2fsck), remove the file",
                    redo, why),
        Reason::job_not_recoverable);
}

/// It tells what is written to a device, so it must come from whoever could do that anyway.
std::unique_ptr<Delta> open_redo(FileDoor& files, const std::string& redo, std::uint64_t device_size) {
    const auto file_status = files.status(redo, false);
    if (!file_status || file_status->type != FileType::regular ||
        (file_status->owner != ::geteuid() && file_status->owner != 0)) {
        not_followed(redo, "it is not a file of ours");
    }
    std::unique_ptr<Delta> delta;
    try {
        delta = Delta::open(files.open(redo, {.follow_links = false}), Access::read);
    } catch (const Error& error) {
        not_followed(redo, error.what());
    }
    if (round_up(device_size, delta->cluster_size()) < delta->disk_size()) {
        not_followed(redo, "it is of a larger device");
    }
    return delta;
}

/// What has changed, piece by piece, in the order of the device.
template <typename Take>
void each_piece(const Delta& changes, std::uint64_t device_size, Take take) {
    const std::uint64_t unit = changes.cluster_size();
    for (std::uint64_t cluster = 0; cluster < changes.clusters();) {
        const Delta::Run run = changes.look(cluster, changes.clusters() - cluster);
        std::uint64_t count = run.clusters;
        if (run.offset) {
            count = std::min(count, std::max<std::uint64_t>(1, copy_piece / unit));
            const std::uint64_t from = cluster * unit;
            // The device may end within the last cluster.
            take(Range{from, std::min(device_size, from + count * unit) - from}, *run.offset);
        }
        cluster += count;
    }
}

/// FNV-1a. It has to tell what has changed by chance, not by malice.
std::uint64_t sum_of(std::span<const std::byte> sector) {
    std::uint64_t sum = 0xcbf29ce484222325;
    for (const std::byte byte : sector) {
        sum = (sum ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3;
    }
    return sum;
}

/// Of each sector that will be written over.
void write_sums(FileDoor& files, const std::string& path, File& device, const Delta& changes) {
    remove_if_there(files, path);
    const auto file =
        files.open(path, {.write = true, .create = true, .exclusive = true, .follow_links = false});
    std::vector<std::byte> buffer(copy_piece), sums;
    std::uint64_t at = 0;
    each_piece(changes, device.status().size, [&](Range range, std::uint64_t) {
        const auto part = std::span(buffer).first(range.length);
        device.read(range.offset, part);
        sums.resize(range.length / sector_size * sizeof(std::uint64_t));
        for (std::size_t i = 0; i < range.length / sector_size; ++i) {
            put(std::span(sums), i * sizeof(std::uint64_t), sum_of(part.subspan(i * sector_size, sector_size)));
        }
        file->write(at, sums);
        at += sums.size();
    });
    file->sync();
}

/// Is each sector as it was before, or as it is to be?
bool is_between(File& device, const Delta& changes, File& sums_file) {
    std::vector<std::byte> present(copy_piece), wanted(copy_piece), sums;
    std::uint64_t at = 0;
    bool between = true;
    each_piece(changes, device.status().size, [&](Range range, std::uint64_t place) {
        const auto is = std::span(present).first(range.length);
        const auto shall = std::span(wanted).first(range.length);
        device.read(range.offset, is);
        changes.read_at(place, shall);
        sums.resize(range.length / sector_size * sizeof(std::uint64_t));
        sums_file.read(at, sums);
        at += sums.size();
        for (std::size_t i = 0; between && i < range.length / sector_size; ++i) {
            const auto sector = is.subspan(i * sector_size, sector_size);
            between = std::ranges::equal(sector, shall.subspan(i * sector_size, sector_size)) ||
                      sum_of(sector) == get<std::uint64_t>(sums, i * sizeof(std::uint64_t));
        }
    });
    return between;
}

/// Can be done again, wholly, however often it was interrupted.
void copy_to(File& device, const Delta& changes) {
    std::vector<std::byte> buffer(copy_piece);
    each_piece(changes, device.status().size, [&](Range range, std::uint64_t place) {
        const auto part = std::span(buffer).first(range.length);
        changes.read_at(place, part);
        device.write(range.offset, part);
    });
    device.sync();
}

void remove_done(FileDoor& files, const std::string& path) {
    remove_if_there(files, redo_of(path));
    remove_if_there(files, sums_of(path));
}

} // namespace

std::optional<std::string> device_mark(File& device) {
    const std::uint64_t size = device.status().size;
    const auto with_size = [&](std::string_view kind, const std::string& id) {
        return fmt::format("{}-{}-{}", kind, hexadecimal(id), size);
    };
    // Either copy of a GPT may be the damaged one that is put right.
    if (size >= 1024 && text_at(device, 512, gpt_signature.size()) != gpt_signature &&
        text_at(device, size - 512, gpt_signature.size()) == gpt_signature) {
        return with_size("gpt", text_at(device, size - 512 + 56, 16));
    }
    for (const Mark& mark : marks) {
        const std::string id = text_at(device, mark.id_offset, mark.id_length);
        if (text_at(device, mark.magic_offset, mark.magic.size()) == mark.magic &&
            id.size() == mark.id_length && std::ranges::any_of(id, [](char byte) { return byte != 0; })) {
            return with_size(mark.kind, id);
        }
    }
    return std::nullopt;
}

DeviceWork::DeviceWork(Doors doors, File& device, const std::string& folder, std::uint64_t size)
    : OverlayWork(Delta::open_raw(doors.files.open(device.path(), {}), Access::read, work_cluster_sectors),
                  size),
      doors_(doors), device_(device), path_([&] {
          const std::optional<std::string> mark = device_mark(device);
          if (!mark) {
              throw Error(
                  ErrorCode::unsupported,
                  fmt::format("{} has no partition table or file system with an id, by which it would be "
                              "known again after an interruption",
                              device.path()),
                  Reason::no_partition_table);
          }
          return files_of(folder, *mark);
      }()) {
    if (size > device.status().size) {
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{} has {}, and a device does not grow by being written to", device.path(),
                                exact_size_text(device.status().size)),
                    Reason::no_room);
    }
    remove_if_there(doors_.files, work_of(path_));
    try {
        make_overlay(doors_.files, work_of(path_), false);
    } catch (...) {
        abandon();
        throw;
    }
}

DeviceWork::~DeviceWork() {
    if (!over_) {
        abandon();
    }
}

void DeviceWork::abandon() noexcept {
    over_ = true;
    let_go();
    try {
        remove_if_there(doors_.files, work_of(path_));
        remove_if_there(doors_.files, sums_of(path_));
    } catch (const std::exception& error) {
        log(LogLevel::warning,
            fmt::format("{} could not be removed; the next run does: {}", work_of(path_), error.what()));
    }
}

void DeviceWork::commit(const WorkCommit& request) {
    if (over_ || request.size > size()) {
        throw std::logic_error("a commit after the end of its working disk, or larger than it");
    }
    FileDoor& files = doors_.files;
    try {
        // Where the table ends before the device now, the old end must not tell of another one.
        const std::uint64_t last = device_.status().size - sector_size;
        if (request.size <= last && last + sector_size <= size() &&
            text_at(device_, last, gpt_signature.size()) == gpt_signature) {
            zero({last, sector_size});
        }
        write_sums(files, sums_of(path_), device_, chain().top());
        close_overlay();
        files.rename(work_of(path_), redo_of(path_));
        renamed_ = true;
        files.sync_directory(directory_of(path_));
    } catch (...) {
        if (renamed_) { // the device is as it was, and shall stay so
            over_ = true;
            remove_done(files, path_);
        } else {
            abandon();
        }
        throw;
    }
    over_ = true;
    try {
        copy_to(device_, *open_redo(files, redo_of(path_), device_.status().size));
        remove_done(files, path_);
    } catch (const Error& error) {
        throw Error(error.code(),
                    fmt::format("{} is not to be used now: it holds a part of its new state. Run the command "
                                "again, which copies the rest from {}: {}",
                                device_.path(), redo_of(path_), error.what()),
                    error.reason());
    }
}

std::optional<std::string> device_work_left(Doors doors, File& device, const std::string& folder) {
    const std::optional<std::string> mark = device_mark(device);
    const std::string redo = mark ? redo_of(files_of(folder, *mark)) : "";
    return mark && doors.files.status(redo, false) ? std::optional(redo) : std::nullopt;
}

void forget_device_work(Doors doors, File& device, const std::string& folder) {
    const std::optional<std::string> mark = device_mark(device);
    if (mark && doors.files.status(folder)) {
        remove_if_there(doors.files, work_of(files_of(folder, *mark)));
        remove_done(doors.files, files_of(folder, *mark));
    }
}

bool finish_device_work(Doors doors, File& device, const std::string& folder) {
    FileDoor& files = doors.files;
    const std::optional<std::string> mark = device_mark(device);
    if (!mark || !files.status(folder)) {
        return false;
    }
    const std::string path = files_of(folder, *mark);
    const std::string redo = redo_of(path);
    remove_if_there(files, work_of(path));
    if (!files.status(redo, false)) {
        remove_if_there(files, sums_of(path));
        return false;
    }
    // Whoever was killed may not have come to this, and the device must not change before.
    files.sync_directory(folder);
    const auto changes = open_redo(files, redo, device.status().size);
    if (!is_between(device, *changes, *files.open(sums_of(path), {.follow_links = false}))) {
        not_followed(redo, "the device was written to since");
    }
    copy_to(device, *changes);
    remove_done(files, path);
    return true;
}

} // namespace disktool::ploop
