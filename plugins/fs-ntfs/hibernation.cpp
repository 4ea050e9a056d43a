// SPDX-License-Identifier: GPL-2.0-or-later
#include "hibernation.h"

#include "damage.h"
#include "little_endian.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace disktool::ntfs {

namespace {

/// 256 MiB: some two million names in the root folder.
constexpr std::uint64_t folder_limit = 256 << 20;
constexpr std::size_t block_header = 0x18;
constexpr std::size_t entry_header = 0x10;
constexpr std::size_t name_in_entry = entry_header + 0x42;
constexpr std::size_t hibernation_header = 4096;

bool same_name(Bytes utf16, std::string_view ascii) {
    if (utf16.size() != 2 * ascii.size())
        return false;
    for (std::size_t i = 0; i < ascii.size(); ++i) {
        unsigned unit = little<std::uint16_t>(utf16, 2 * i);
        if (unit >= 'A' && unit <= 'Z')
            unit += 'a' - 'A';
        if (unit != static_cast<unsigned char>(ascii[i]))
            return false;
    }
    return true;
}

/// `node` starts with an index header: where its entries start (from here), and where they end.
void search_node(const Volume& volume, Bytes node, std::string_view name, std::vector<FileReference>& found) {
    const auto wrong = [&volume] {
        return damage(volume.device(), "an index block of its root folder makes no sense");
    };
    if (node.size() < 0x10)
        throw wrong();
    std::size_t at = little<std::uint32_t>(node, 0);
    const std::size_t end = little<std::uint32_t>(node, 4);
    if (at < 0x10 || end > node.size())
        throw wrong();
    // Each entry is at least 16 bytes long, so this ends.
    while (at <= end && end - at >= entry_header) {
        const std::size_t length = little<std::uint16_t>(node, at + 8);
        const bool last = (little<std::uint16_t>(node, at + 0x0c) & 2) != 0;
        if (length < entry_header || length > end - at)
            throw wrong();
        if (last)
            return;
        const Bytes entry = node.subspan(at, length);
        if (length >= name_in_entry) {
            const std::size_t size = std::size_t{2} * little<std::uint8_t>(entry, entry_header + 0x40);
            if (size <= length - name_in_entry && same_name(entry.subspan(name_in_entry, size), name))
                found.push_back(FileReference::at(entry, 0));
        }
        at += length;
    }
    throw wrong();
}

/// One bit a block: is it in use? Others keep what they held last.
std::vector<std::byte> blocks_in_use(const Volume& volume, std::uint64_t count) {
    const AttributeData bitmap = volume.need(root_folder, AttributeType::bitmap, "$I30");
    if (bitmap.encoded || bitmap.size() < divide_up(count, 8))
        throw damage(volume.device(), "the index bitmap of its root folder is too short");
    std::vector<std::byte> bits(divide_up(count, 8));
    volume.read(bitmap, 0, bits);
    return bits;
}

void search_blocks(const Volume& volume, const AttributeData& blocks, std::string_view name,
                   std::vector<FileReference>& found) {
    if (blocks.encoded || blocks.size() > folder_limit)
        throw damage(volume.device(), fmt::format("the index of its root folder has {} bytes", blocks.size()));
    const std::size_t size = volume.boot().index_size();
    const std::vector<std::byte> used = blocks_in_use(volume, blocks.size() / size);
    std::uint64_t number = 0;
    std::vector<std::byte> piece;
    for (std::uint64_t at = 0; at + size <= blocks.size(); at += piece.size()) {
        piece.resize(std::min<std::uint64_t>(MiB, (blocks.size() - at) / size * size));
        volume.read(blocks, at, piece);
        for (std::size_t block = 0; block < piece.size(); block += size, ++number) {
            if ((used[number / 8] >> (number % 8) & std::byte{1}) == std::byte{0})
                continue;
            const std::span<std::byte> node = std::span(piece).subspan(block, size);
            if (std::memcmp(node.data(), "INDX", 4) != 0 || !undo_update_sequence(node))
                throw damage(volume.device(), fmt::format("block {} of its root folder's index is not sound "
                                                          "(signature, update sequence)",
                                                          number));
            search_node(volume, node.subspan(block_header), name, found);
        }
    }
}

/// Is the number still in use for the file that the reference means?
bool still_there(const Volume& volume, const FileReference& file) {
    if (file.record >= volume.records())
        return false;
    const MftRecord record = volume.record(file.record);
    return record.in_use() && record.is_base() && record.sequence() == file.sequence;
}

bool holds_system(const Volume& volume, std::uint64_t file) {
    const std::optional<AttributeData> data = volume.attribute(file, AttributeType::data);
    if (!data || data->encoded || data->size() < hibernation_header)
        return true;
    std::array<std::byte, 4> signature;
    volume.read(*data, 0, signature);
    return std::ranges::any_of(std::array{"hibr", "HIBR", "rstr", "RSTR", "link", "LINK"},
                               [&](const char* one) { return std::memcmp(signature.data(), one, 4) == 0; });
}

} // namespace

std::vector<FileReference> find_in_root(const Volume& volume, std::string_view name) {
    std::vector<FileReference> found;
    const AttributeData root = volume.need(root_folder, AttributeType::index_root, "$I30");
    if (!root.resident || root.size() < 0x20)
        throw damage(volume.device(), "the index of its root folder makes no sense");
    search_node(volume, Bytes(root.value).subspan(0x10), name, found);
    if (const std::optional<AttributeData> blocks =
            volume.attribute(root_folder, AttributeType::index_allocation, "$I30"))
        search_blocks(volume, *blocks, name, found);
    return found;
}

bool hibernated(const Volume& volume) {
    std::vector<FileReference> files = find_in_root(volume, "hiberfil.sys");
    // There is one, with some stale entries at most; a guest that makes thousands gets no more of our time.
    files.resize(std::min<std::size_t>(files.size(), 64));
    return std::ranges::any_of(files, [&](const FileReference& file) {
        return still_there(volume, file) && holds_system(volume, file.record);
    });
}

} // namespace disktool::ntfs
