// SPDX-License-Identifier: LGPL-2.1-or-later
#include "swap_header.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

namespace disktool::swap {

namespace {

constexpr std::size_t signature_length = 10;
constexpr std::size_t version_at = 1024;
constexpr std::size_t last_page_at = 1028;
constexpr std::size_t bad_count_at = 1032;
constexpr std::size_t uuid_at = 1036;
constexpr std::size_t label_at = 1052;
constexpr std::size_t label_length = 16;
constexpr std::size_t bad_pages_at = 1536;

struct Signature {
    std::string_view text;
    SwapKind kind;
};
constexpr std::array<Signature, 6> signatures{{{"SWAPSPACE2", SwapKind::version_1},
                                               {"SWAP-SPACE", SwapKind::version_0},
                                               {"S1SUSPEND", SwapKind::hibernated},
                                               {"S2SUSPEND", SwapKind::hibernated},
                                               {"ULSUSPEND", SwapKind::hibernated},
                                               {"LINHIB0001", SwapKind::hibernated}}};

struct Found {
    SwapKind kind;
    std::uint32_t page_size;
};

std::optional<Found> find_signature(BlockDevice& device) {
    for (std::size_t page = smallest_page; page <= largest_page && page <= device.size(); page *= 2) {
        std::array<char, signature_length> text;
        device.read(page - signature_length, std::as_writable_bytes(std::span(text)));
        for (const Signature& signature : signatures)
            if (std::string_view(text.data(), text.size()).starts_with(signature.text))
                return Found{signature.kind, static_cast<std::uint32_t>(page)};
    }
    return std::nullopt;
}

std::uint32_t load(std::span<const std::byte> page, std::size_t at, bool big) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i)
        value = value << 8 | std::to_integer<std::uint32_t>(page[at + (big ? i : 3 - i)]);
    return value;
}

void store(std::span<std::byte> page, std::size_t at, bool big, std::uint32_t value) {
    for (std::size_t i = 0; i < 4; ++i)
        page[at + (big ? 3 - i : i)] = static_cast<std::byte>(value >> (8 * i) & 0xff);
}

/// Bytes that are no plain text end up on terminals otherwise.
std::string label_text(std::span<const std::byte> field) {
    std::string text;
    for (const std::byte byte : field) {
        const auto c = std::to_integer<unsigned char>(byte);
        if (c == 0)
            break;
        text += c < 0x20 || c > 0x7e ? '?' : static_cast<char>(c);
    }
    return text;
}

std::string uuid_text(std::span<const std::byte> uuid) {
    if (std::ranges::all_of(uuid, [](std::byte byte) { return byte == std::byte{0}; }))
        return {};
    std::string text;
    for (std::size_t i = 0; i < uuid.size(); ++i)
        text += fmt::format("{}{:02x}", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                            std::to_integer<unsigned>(uuid[i]));
    return text;
}

Error damage(const BlockDevice& device, const std::string& what) {
    return Error(
        ErrorCode::damaged,
        fmt::format("{}: the swap header (at byte 1024) makes no sense: {}; make the swap area anew with "
                    "mkswap in the guest",
                    device.name(), what),
        Reason::filesystem_damaged);
}

void read_numbers(BlockDevice& device, std::span<const std::byte> page, SwapHeader& header) {
    header.foreign = load(page, version_at, false) != 1 && load(page, version_at, true) == 1;
    header.version = load(page, version_at, header.foreign);
    if (header.version != 1)
        throw damage(device, fmt::format("its version is {}", header.version));
    header.last_page = load(page, last_page_at, header.foreign);
    if (header.last_page == 0 || header.size() > device.size())
        throw damage(device, fmt::format("its last page is number {} of {} bytes, but the device has {} bytes",
                                         header.last_page, header.page_size, device.size()));
    const std::uint32_t count = load(page, bad_count_at, header.foreign);
    if (count > (header.page_size - signature_length - bad_pages_at) / 4)
        throw damage(device, fmt::format("it counts {} bad pages", count));
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint32_t bad = load(page, bad_pages_at + i * 4, header.foreign);
        if (bad == 0 || bad > header.last_page)
            throw damage(device, fmt::format("it calls page {} bad", bad));
        header.bad_pages.push_back(bad);
    }
    std::ranges::sort(header.bad_pages);
    header.label = label_text(page.subspan(label_at, label_length));
    header.uuid = uuid_text(page.subspan(uuid_at, 16));
}

} // namespace

std::optional<SwapHeader> read_header(BlockDevice& device) {
    const std::optional<Found> found = find_signature(device);
    if (!found)
        return std::nullopt;
    SwapHeader header;
    header.kind = found->kind;
    header.page_size = found->page_size;
    if (header.kind != SwapKind::version_1)
        return header;
    std::vector<std::byte> page(header.page_size);
    device.read(0, page);
    read_numbers(device, page, header);
    return header;
}

void write_last_page(BlockDevice& device, const SwapHeader& header, std::uint32_t last_page) {
    // From the fields to the bad pages; neither the boot block before them nor the signature is touched.
    std::vector<std::byte> page(header.page_size - signature_length);
    device.read(0, page);
    store(page, last_page_at, header.foreign, last_page);
    std::uint32_t count = 0;
    for (const std::uint32_t bad : header.bad_pages)
        if (bad <= last_page)
            store(page, bad_pages_at + 4 * count++, header.foreign, bad);
    store(page, bad_count_at, header.foreign, count);
    for (std::size_t i = count; i < header.bad_pages.size(); ++i)
        store(page, bad_pages_at + 4 * i, header.foreign, 0);
    device.write(version_at, std::span<const std::byte>(page).subspan(version_at));
}

} // namespace disktool::swap
