// SPDX-License-Identifier: LGPL-2.1-or-later
#include "label.h"

#include "damage.h"
#include "fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace disktool::lvm2 {

namespace {

using Sector = std::array<std::byte, sector_size>;

constexpr std::size_t checked_from = 20; ///< the checksum covers the sector from here on
constexpr std::size_t header_size = 32 + 8;
constexpr std::size_t place_size = 16;
constexpr std::uint32_t flag_used = 1;

bool holds(const Sector& sector, std::size_t offset, const char* text) {
    return std::memcmp(sector.data() + offset, text, std::strlen(text)) == 0;
}

struct Found {
    LabelFound how = LabelFound::no;
    std::uint64_t offset = 0;
    Sector sector{};
};

Found find(BlockDevice& device) {
    Found found;
    for (std::uint64_t number = 0; number < label_sectors; ++number) {
        const std::uint64_t offset = number * sector_size;
        if (device.size() < offset + sector_size)
            break;
        Sector sector;
        device.read(offset, sector);
        if (!holds(sector, 0, "LABELONE") || !holds(sector, 24, "LVM2 001"))
            continue;
        const bool whole =
            load_le<std::uint64_t>(sector, 8) == number &&
            load_le<std::uint32_t>(sector, 16) == checksum(std::span(sector).subspan(checked_from));
        if (whole)
            return {LabelFound::whole, offset, sector};
        if (found.how == LabelFound::no)
            found = {LabelFound::broken, offset, sector};
    }
    return found;
}

bool plain_letter(std::byte byte) {
    const char letter = static_cast<char>(byte);
    return (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'z') ||
           (letter >= 'A' && letter <= 'Z') || letter == '!' || letter == '#';
}

/// Reads the lists of places one after the other; the sector's end ends the last one by force.
class PlaceReader {
  public:
    PlaceReader(BlockDevice& device, const Found& found, std::size_t at)
        : device_(device), found_(found), at_(at) {}

    std::vector<Range> list(const char* what, bool may_be_open) {
        std::vector<Range> places;
        for (; room(place_size); at_ += place_size) {
            const Range place{load_le<std::uint64_t>(found_.sector, at_),
                              load_le<std::uint64_t>(found_.sector, at_ + 8)};
            if (place.offset == 0) {
                at_ += place_size;
                return places;
            }
            const bool open = may_be_open && place.length == 0;
            // The length of a data area is a hint which pvresize leaves behind; its start counts.
            const bool outside = place.offset > device_.size() ||
                                 (!may_be_open && (place.length > device_.size() - place.offset));
            if (outside || (place.length == 0 && !open))
                throw damage(device_,
                             fmt::format("its label (at byte {}) has a {} of {} bytes at byte {}, but the "
                                         "device has {}",
                                         found_.offset, what, place.length, place.offset, device_.size()));
            places.push_back(place);
        }
        throw damage(device_, fmt::format("the list of {}s in its label (at byte {}) does not end", what,
                                          found_.offset));
    }
    bool room(std::size_t bytes) const { return at_ + bytes <= sector_size; }
    std::uint32_t number() {
        const auto value = load_le<std::uint32_t>(found_.sector, at_);
        at_ += sizeof value;
        return value;
    }

  private:
    BlockDevice& device_;
    const Found& found_;
    std::size_t at_;
};

} // namespace

LabelFound find_label(BlockDevice& device) {
    return find(device).how;
}

Label read_label(BlockDevice& device) {
    const Found found = find(device);
    if (found.how == LabelFound::broken)
        throw damage(device,
                     fmt::format("its label (at byte {}) has a bad checksum or sector number", found.offset));
    if (found.how == LabelFound::no)
        throw unsupported(device, "there is no LVM2 physical volume on it", Reason::filesystem_not_supported);

    const auto header = load_le<std::uint32_t>(found.sector, 20);
    if (header < 32 || header > sector_size - header_size)
        throw damage(device, fmt::format("the header in its label (at byte {}) is said to be at {}",
                                         found.offset, header));
    const auto uuid = std::span(found.sector).subspan(header, 32);
    if (!std::ranges::all_of(uuid, plain_letter))
        throw damage(device, fmt::format("the UUID in its label (at byte {}) is none", found.offset));

    Label label;
    label.offset = found.offset;
    label.uuid.assign(reinterpret_cast<const char*>(uuid.data()), uuid.size());
    label.device_size = load_le<std::uint64_t>(found.sector, header + 32);
    PlaceReader reader(device, found, header + header_size);
    label.data_areas = reader.list("data area", true);
    label.metadata_areas = reader.list("metadata area", false);
    if (reader.room(8)) {
        const std::uint32_t version = reader.number();
        const std::uint32_t flags = reader.number();
        if (version >= 1)
            label.bootloader_areas = reader.list("bootloader area", false);
        if (version >= 2)
            label.used = (flags & flag_used) != 0;
    }
    return label;
}

std::string uuid_text(const std::string& uuid) {
    std::string text;
    for (std::size_t i = 0; i < uuid.size(); ++i) {
        if (i >= 6 && i <= 26 && (i - 6) % 4 == 0)
            text += '-';
        text += uuid[i];
    }
    return text;
}

} // namespace disktool::lvm2
