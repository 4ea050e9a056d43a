// SPDX-License-Identifier: GPL-2.0-or-later
#include "journal.h"

#include <bit>
#include <cstring>
#include <optional>
#include <vector>

namespace disktool::ntfs {

namespace {

constexpr std::size_t block = 512;
constexpr std::uint32_t largest_page = 64 << 10;
constexpr std::uint64_t journal_limit = std::uint64_t{1} << 32;
constexpr std::uint16_t no_client = 0xffff;
constexpr std::uint16_t volume_is_clean = 0x0002;
constexpr std::size_t page_header = 0x1e;
constexpr std::size_t area_header = 0x18;

struct RestartPage {
    std::uint64_t sequence = 0; ///< of the last log record, or of chkdsk: the page with the larger one is newer
    std::uint16_t major_version = 0;
    std::uint16_t minor_version = 0;
    bool closed = false;
};

bool has_magic(Bytes bytes, const char* magic) {
    return std::memcmp(bytes.data(), magic, 4) == 0;
}

/// `at`: of the page in the file, where one can be: 0 or the system's page size. None: it makes no sense.
std::optional<RestartPage> read_page(const Volume& volume, const AttributeData& journal, std::uint64_t at,
                                     Bytes head) {
    const bool by_chkdsk = has_magic(head, "CHKD");
    const auto page_size = little<std::uint32_t>(head, 0x10);
    const std::size_t area_at = little<std::uint16_t>(head, 0x18);
    if (!std::has_single_bit(page_size) || page_size < block || page_size > largest_page ||
        (at != 0 && at != page_size) || at + page_size > journal.size() || area_at % 8 != 0 ||
        area_at < page_header || area_at + area_header > page_size)
        return std::nullopt;
    std::vector<std::byte> page(page_size);
    volume.read(journal, at, page);
    // What chkdsk wrote may be without an update sequence.
    if ((!by_chkdsk || little<std::uint16_t>(head, 6) != 0) && !undo_update_sequence(page))
        return std::nullopt;
    RestartPage found;
    found.minor_version = little<std::uint16_t>(page, 0x1a);
    found.major_version = little<std::uint16_t>(page, 0x1c);
    const Bytes area = Bytes(page).subspan(area_at);
    found.sequence = by_chkdsk ? little<std::uint64_t>(page, 8) : little<std::uint64_t>(area, 0);
    const auto clients = little<std::uint16_t>(area, 0x08);
    const auto in_use = little<std::uint16_t>(area, 0x0c);
    if (in_use != no_client && in_use >= clients)
        return std::nullopt;
    found.closed = in_use == no_client || (little<std::uint16_t>(area, 0x0e) & volume_is_clean) != 0;
    return found;
}

JournalState judge(const RestartPage& page) {
    if (page.major_version == 2)
        return JournalState::cached;
    if (page.major_version != 1 || page.minor_version != 1)
        return JournalState::unknown;
    return page.closed ? JournalState::clean : JournalState::open;
}

} // namespace

JournalState read_journal(const Volume& volume) {
    const AttributeData journal = volume.need(log_file, AttributeType::data);
    if (journal.encoded)
        return JournalState::unknown;
    std::optional<RestartPage> newest;
    bool empty = true;
    // A page starts at 0 or at the page size of the machine that wrote it, a power of two.
    for (std::uint64_t at = 0; at + block <= journal.size() && at < journal_limit;
         at = at == 0 ? block : 2 * at) {
        std::vector<std::byte> head(block);
        volume.read(journal, at, head);
        if (has_magic(head, "\xff\xff\xff\xff"))
            continue;
        empty = false;
        if (has_magic(head, "RCRD"))
            break; // a log record: no restart page comes after it
        if (!has_magic(head, "RSTR") && !has_magic(head, "CHKD"))
            continue;
        const std::optional<RestartPage> page = read_page(volume, journal, at, head);
        if (page && (!newest || page->sequence > newest->sequence))
            newest = page;
    }
    if (newest)
        return judge(*newest);
    return empty ? JournalState::empty : JournalState::unknown;
}

} // namespace disktool::ntfs
