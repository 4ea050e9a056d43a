// SPDX-License-Identifier: LGPL-2.1-or-later
// Opening, making and reading an image file. What changes one is in delta_change.cpp, delta_resize.cpp and
// delta_compact.cpp.
#include "delta.h"

#include "little_endian.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>

namespace disktool::ploop {

namespace {

[[noreturn]] void damaged(const std::string& path, const std::string& what) {
    throw Error(ErrorCode::damaged,
                fmt::format("{}: {}; look at it, and mend it, with `ploop check -F -c`", path, what),
                Reason::image_corrupt);
}

void reserve(File& file, std::uint64_t size) {
    try {
        file.allocate({0, size}, false);
    } catch (const SystemError& error) {
        if (error.error_number() != EOPNOTSUPP && error.error_number() != ENOSYS) {
            throw;
        }
        file.truncate(size); // a host that cannot reserve: the original does the same
    }
}

} // namespace

Delta::Delta(std::unique_ptr<File> file, Access access) : file_(std::move(file)), access_(access) {}

Delta::~Delta() = default;

std::unique_ptr<Delta> Delta::open(std::unique_ptr<File> file, Access access, bool dirty_too) {
    std::unique_ptr<Delta> delta(new Delta(std::move(file), access));
    const std::string& path = delta->path();
    std::array<std::byte, header_size> bytes;
    if (delta->file_->read_some(0, bytes) < bytes.size()) {
        throw Error(
            ErrorCode::damaged,
            fmt::format("{} is shorter than the header of a ploop image; restore it from a backup", path),
            Reason::image_corrupt);
    }
    delta->header_ = parse_header(bytes, path);
    const Header& header = delta->header_;
    check_header(header, path);
    if ((header.flags & flag_converting) != 0) {
        throw Error(
            ErrorCode::damaged,
            fmt::format("Image {} is in the changing version state: a change of its BAT was interrupted. "
                        "Opening its disk with this program finishes it, with the help of {}.idx",
                        path, path),
            Reason::image_dirty);
    }
    if (header.is_in_use() && !dirty_too) {
        throw Error(ErrorCode::damaged,
                    fmt::format("Image {} is in use: it is mounted, or whoever wrote to it was killed. If "
                                "it is not mounted, mend it with `ploop check -d`",
                                path),
                    Reason::image_dirty);
    }
    delta->load();
    return delta;
}

std::unique_ptr<Delta> Delta::open_raw(std::unique_ptr<File> file, Access access,
                                       std::uint32_t cluster_sectors) {
    std::unique_ptr<Delta> delta(new Delta(std::move(file), access));
    if (!is_cluster_size(cluster_sectors)) {
        throw Error(ErrorCode::damaged,
                    fmt::format("Wrong cluster size {} for raw image {}: a power of two from {} to {} sectors "
                                "is needed",
                                cluster_sectors, delta->path(), smallest_cluster_sectors,
                                largest_cluster_sectors));
    }
    delta->raw_ = true;
    const std::uint64_t sectors = delta->file_->status().size / sector_size;
    if (sectors > largest_disk(Version::v2, cluster_sectors)) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("Raw image {} is larger than any ploop disk with clusters of {}", delta->path(),
                                size_text(cluster_sectors * sector_size)),
                    Reason::size_too_large);
    }
    delta->header_ = new_header(sectors, cluster_sectors, Version::v2);
    delta->header_.flags = 0;
    delta->allocated_ = delta->header_.entries;
    return delta;
}

std::uint64_t Delta::place_limit(const Header& header) {
    const std::uint64_t entries = std::uint64_t{UINT32_MAX} + 1;
    return header.version == Version::v1 ? entries / header.cluster_sectors : entries;
}

std::uint64_t Delta::place_number(std::uint32_t entry) const {
    return entry_offset(header_, entry) / cluster_size();
}

void Delta::load() {
    const std::uint64_t file_size = file_->status().size;
    const std::uint64_t table_end = header_size + header_.entries * sizeof(std::uint32_t);
    if (file_size < table_end) {
        damaged(path(), fmt::format("the file ends at {}, within its BAT, which takes the bytes up to {}",
                                    file_size, table_end));
    }
    const std::uint64_t whole_clusters = file_size / cluster_size();
    places_.set_first(header_.data_start());
    bat_.resize(header_.entries);
    bat_.load(*file_, [&](std::uint64_t first, std::span<const std::uint32_t> entries) {
        for (std::size_t i = 0; i < entries.size(); ++i) {
            if (entries[i] == 0) {
                continue;
            }
            const std::uint64_t cluster = first + i;
            const std::uint64_t offset = entry_offset(header_, entries[i]);
            const std::uint64_t place = offset / cluster_size();
            const auto refuse = [&](const char* why) {
                damaged(path(), fmt::format("guest cluster {} is said to lie at offset {} of the file: {}",
                                            cluster, offset, why));
            };
            if (offset % cluster_size() != 0) {
                refuse("not at the start of a cluster");
            }
            if (place < header_.data_start()) {
                refuse("within the header and the BAT");
            }
            if (place >= whole_clusters) {
                refuse("beyond the end of the file");
            }
            if (places_.used(place)) {
                refuse("where another guest cluster lies, too");
            }
            places_.add(place);
            ++allocated_;
        }
    });
    if (header_.has_extension()) {
        extension_at_ = header_.extension_sector / header_.cluster_sectors;
    }
}

void Delta::create(File& file, const NewDelta& request) {
    if (!is_cluster_size(request.cluster_sectors)) {
        throw std::logic_error(fmt::format("A cluster of {} sectors was asked for", request.cluster_sectors));
    }
    const std::uint64_t largest = largest_disk(request.version, request.cluster_sectors);
    if (request.disk_sectors % request.cluster_sectors != 0 || request.disk_sectors > largest) {
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{}: a disk of {} sectors cannot be: a multiple of {}, at most {}, is possible "
                                "for version {}",
                                file.path(), request.disk_sectors, request.cluster_sectors, largest,
                                static_cast<std::uint32_t>(request.version)),
                    Reason::size_too_large);
    }
    Header header = new_header(request.disk_sectors, request.cluster_sectors, request.version);
    const std::uint64_t data_start = header.data_start() * header.cluster_size();
    if (request.preallocated && header.entries > 0) {
        const std::uint64_t last = data_start + (header.entries - 1) * header.cluster_size();
        if (place_limit(header) <= last / header.cluster_size()) {
            throw Error(
                ErrorCode::size_impossible,
                fmt::format("{}: not every cluster of a disk of {} sectors can have a place in an image "
                            "of version {}; make it smaller, or not preallocated",
                            file.path(), request.disk_sectors, static_cast<std::uint32_t>(request.version)),
                Reason::size_too_large);
        }
        header.flags &= ~flag_empty;
        reserve(file, last + header.cluster_size());
    }
    // Real bytes, no hole: the original's check wants none. The header comes last, so that a part of an image
    // is not taken for one.
    std::vector<std::byte> bytes(std::min<std::uint64_t>(MiB, data_start));
    std::uint64_t cluster = 0;
    for (std::uint64_t at = 0; at < data_start; at += bytes.size()) {
        const auto part = std::span(bytes).first(std::min<std::uint64_t>(bytes.size(), data_start - at));
        std::ranges::fill(part, std::byte{0});
        if (request.preallocated) {
            for (std::size_t i = at == 0 ? header_size : 0; i < part.size() && cluster < header.entries;
                 i += sizeof(std::uint32_t), ++cluster) {
                put(part, i, offset_entry(header, data_start + cluster * header.cluster_size()));
            }
        }
        file.write(at, part);
    }
    file.write(0, header_bytes(header));
    file.sync();
}

Delta::Run Delta::look(std::uint64_t cluster, std::uint64_t limit) const {
    if (cluster >= clusters()) {
        return {std::nullopt, std::max<std::uint64_t>(limit, 1)};
    }
    limit = std::clamp<std::uint64_t>(limit, 1, clusters() - cluster);
    if (raw_) {
        return {cluster * cluster_size(), limit};
    }
    const std::uint32_t first = bat_.get(cluster);
    const std::uint64_t step = first == 0 ? 0 : offset_entry(header_, cluster_size());
    std::uint64_t expected = first;
    std::uint64_t length = 1;
    while (length < limit && bat_.get(cluster + length) == (expected += step)) {
        ++length;
    }
    return {first == 0 ? std::nullopt : std::optional(entry_offset(header_, first)), length};
}

std::optional<std::uint64_t> Delta::place(std::uint64_t cluster) const {
    return look(cluster, 1).offset;
}

std::uint64_t Delta::run(std::uint64_t cluster, std::uint64_t limit) const {
    return look(cluster, limit).clusters;
}

void Delta::read(std::uint64_t offset, std::span<std::byte> buffer) const {
    while (!buffer.empty()) {
        const std::uint64_t cluster = offset / cluster_size();
        const std::uint64_t inside = offset % cluster_size();
        const auto [at, count] = look(cluster, divide_up(inside + buffer.size(), cluster_size()));
        if (!at) {
            throw std::logic_error(
                fmt::format("{}: guest cluster {} is read, but is not here", path(), cluster));
        }
        const auto part = buffer.first(std::min<std::uint64_t>(buffer.size(), count * cluster_size() - inside));
        read_at(*at + inside, part);
        offset += part.size();
        buffer = buffer.subspan(part.size());
    }
}

void Delta::read_at(std::uint64_t file_offset, std::span<std::byte> buffer) const {
    if (raw_) {
        const std::size_t there = file_->read_some(file_offset, buffer);
        std::ranges::fill(buffer.subspan(there), std::byte{0});
    } else {
        file_->read(file_offset, buffer);
    }
}

std::set<std::uint64_t> Delta::holes() const {
    std::set<std::uint64_t> result;
    std::uint64_t end = places_.end();
    if (extension_at_ != 0) {
        end = std::min(end, extension_at_);
    }
    for (auto hole = places_.next_hole(places_.first()); hole && *hole < end;
         hole = places_.next_hole(*hole + 1)) {
        result.insert(result.end(), *hole);
    }
    return result;
}

std::uint64_t Delta::hole_count() const {
    if (extension_at_ != 0 && extension_at_ < places_.end()) {
        std::uint64_t count = 0;
        for (auto hole = places_.next_hole(places_.first()); hole && *hole < extension_at_;
             hole = places_.next_hole(*hole + 1)) {
            ++count;
        }
        return count;
    }
    return places_.end() > places_.first() ? places_.end() - places_.first() - places_.count() : 0;
}

std::uint64_t Delta::file_clusters() const {
    if (raw_) {
        return clusters();
    }
    const std::uint64_t end = std::max(places_.end(), header_.data_start());
    return extension_at_ == 0 ? end : std::max(end, divide_up(file_->status().size, cluster_size()));
}

} // namespace disktool::ploop
