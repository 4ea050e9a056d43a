// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crypt_header.h"

#include <array>
#include <cstring>
#include <span>
#include <string_view>

namespace disktool::crypt {

namespace {

using Sector = std::array<std::byte, 512>;
using namespace std::string_view_literals;

constexpr std::string_view first_magic = "LUKS\xba\xbe"sv;
constexpr std::string_view second_magic = "SKUL\xba\xbe"sv;
constexpr std::string_view to_go_identifier =
    "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01"sv;
constexpr std::uint64_t smallest_metadata = 16 << 10; ///< of LUKS2; each of the nine sizes is twice the last
constexpr std::uint64_t largest_metadata = 4 << 20;

bool holds(const Sector& sector, std::size_t offset, std::string_view text) {
    return std::memcmp(sector.data() + offset, text.data(), text.size()) == 0;
}

std::string text(const Sector& sector, std::size_t offset, std::size_t length) {
    std::string result;
    for (const std::byte byte : std::span(sector).subspan(offset, length)) {
        const auto c = std::to_integer<unsigned char>(byte);
        if (c == 0)
            break;
        result += c < 0x20 || c > 0x7e ? '?' : static_cast<char>(c);
    }
    return result;
}

unsigned version(const Sector& sector) {
    return std::to_integer<unsigned>(sector[6]) << 8 | std::to_integer<unsigned>(sector[7]);
}

CryptHeader luks(const Sector& sector) {
    CryptHeader header;
    header.kind = version(sector) == 1 ? Kind::luks1 : Kind::luks2;
    header.uuid = text(sector, 168, 40);
    if (header.kind == Kind::luks2)
        header.label = text(sector, 24, 48);
    return header;
}

} // namespace

std::string CryptHeader::name() const {
    switch (kind) {
    case Kind::luks1:
        return "LUKS1";
    case Kind::luks2:
        return "LUKS2";
    case Kind::bitlocker:
        return "BitLocker";
    case Kind::bitlocker_to_go:
        return "BitLocker To Go";
    }
    return {};
}

std::optional<CryptHeader> read_header(BlockDevice& device) {
    Sector sector;
    if (device.size() < sector.size())
        return std::nullopt;
    device.read(0, sector);
    // A version that is not known yet is still LUKS: to say nothing would be to call it unknown content.
    if (holds(sector, 0, first_magic))
        return luks(sector);
    if (holds(sector, 3, "-FVE-FS-"))
        return CryptHeader{Kind::bitlocker, {}, {}};
    if (holds(sector, 3, "MSWIN4.1") && holds(sector, 424, to_go_identifier))
        return CryptHeader{Kind::bitlocker_to_go, {}, {}};
    for (std::uint64_t at = smallest_metadata; at <= largest_metadata && at + sector.size() <= device.size();
         at *= 2) {
        device.read(at, sector);
        std::uint64_t place = 0; // the header says where it lies itself (at 256, big-endian)
        for (std::size_t i = 0; i < 8; ++i)
            place = place << 8 | std::to_integer<std::uint64_t>(sector[256 + i]);
        if (holds(sector, 0, second_magic) && version(sector) == 2 && place == at)
            return luks(sector);
    }
    return std::nullopt;
}

} // namespace disktool::crypt
