// SPDX-License-Identifier: LGPL-2.1-or-later
#include "new_bitmaps.h"

#include "big_endian.h"
#include "damage.h"
#include "reference_walk.h"
#include "tail_writer.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace disktool::qcow2 {

namespace {

constexpr std::uint64_t max_bitmap_bytes = 512 * MiB; ///< QEMU's limit of one bitmap's bits

using By = ReferenceCount::By;

/// Bit n of a bitmap is bit n % 8 of byte n / 8.
void set_bits(std::span<std::byte> bytes, std::uint64_t from, std::uint64_t to) {
    for (; from < to && from % 8 != 0; ++from) {
        bytes[from / 8] |= std::byte{1} << (from % 8);
    }
    for (; to - from >= 8 && from < to; from += 8) {
        bytes[from / 8] = std::byte{0xff};
    }
    for (; from < to; ++from) {
        bytes[from / 8] |= std::byte{1} << (from % 8);
    }
}

void clear_bits_from(std::span<std::byte> bytes, std::uint64_t from) {
    if (from >= bytes.size() * 8) {
        return;
    }
    bytes[from / 8] &= std::byte{0xff} >> (8 - from % 8);
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(from / 8 + 1), bytes.end(), std::byte{0});
}

class BitmapRenewal {
  public:
    BitmapRenewal(Image& image, const Bitmap& bitmap, std::uint64_t new_size, const ChangedRanges& changed,
                  Tail& tail, ReferenceCount& references)
        : file_(image.file()), bitmap_(bitmap), cluster_size_(image.metadata().header().cluster_size()),
          file_size_(image.metadata().file_size()), new_size_(new_size), changed_(changed), tail_(tail),
          references_(references) {
        const std::uint64_t old_size = image.metadata().header().virtual_size;
        const std::uint64_t granularity = bitmap.info.granularity;
        valid_ = std::min(divide_up(old_size, granularity), divide_up(new_size, granularity));
        old_bits_ = divide_up(old_size, granularity);
    }

    /// Its table, which holds so many entries.
    std::vector<std::uint64_t> make();

  private:
    std::uint64_t bits_per_cluster() const { return cluster_size_ * 8; }
    std::uint64_t make_entry(std::uint64_t index, std::uint64_t word);
    std::uint64_t checked(std::uint64_t word) const;

    File& file_;
    const Bitmap& bitmap_;
    std::uint64_t cluster_size_;
    std::uint64_t file_size_;
    std::uint64_t new_size_;
    const ChangedRanges& changed_;
    Tail& tail_;
    ReferenceCount& references_;
    std::uint64_t valid_ = 0;    ///< bits that keep their meaning
    std::uint64_t old_bits_ = 0; ///< that the present bitmap has
};

std::vector<std::uint64_t> BitmapRenewal::make() {
    const std::uint64_t bits = divide_up(new_size_, bitmap_.info.granularity);
    // A table has one entry at least: read_bitmaps believes no other.
    std::vector<std::uint64_t> table(std::max<std::uint64_t>(1, divide_up(bits, bits_per_cluster())));
    std::vector<std::uint64_t> old(std::min<std::uint64_t>(bitmap_.table_entries, table.size()));
    file_.read(bitmap_.table_offset, std::as_writable_bytes(std::span(old)));
    swap_words(old);
    for (std::uint64_t index = 0; index < table.size(); ++index) {
        table[index] = make_entry(index, index < old.size() ? checked(old[index]) : 0);
    }
    return table;
}

std::uint64_t BitmapRenewal::checked(std::uint64_t word) const {
    const std::string what = fmt::format("a cluster of bitmap \"{}\"", printable(bitmap_.info.name));
    if (word & bitmap_bits::reserved) {
        throw_damaged(file_.path(), fmt::format("{} is said by its table at offset {} to be {:#x}, with "
                                                "reserved bits set",
                                                what, bitmap_.table_offset, word));
    }
    if (const std::uint64_t offset = word & bitmap_bits::offset; offset != 0) {
        check_place(file_.path(), what, {offset, cluster_size_}, cluster_size_, file_size_);
    }
    return word;
}

std::uint64_t BitmapRenewal::make_entry(std::uint64_t index, std::uint64_t word) {
    const std::uint64_t first = index * bits_per_cluster();
    const std::uint64_t granularity = bitmap_.info.granularity;
    const std::uint64_t place = word & bitmap_bits::offset;
    const bool ones = place == 0 && (word & bitmap_bits::all_ones);
    const bool cut = valid_ < first + bits_per_cluster() && divide_up(new_size_, granularity) != old_bits_ &&
                     (place != 0 || ones);
    const Range covered{first * granularity, bits_per_cluster() * granularity};
    const bool written = bitmap_.info.recording && changed_.intersects(covered);
    if (!cut && !written) {
        if (place != 0) {
            references_.add({place, cluster_size_}, By::metadata);
        }
        return word;
    }
    std::vector<std::byte> bytes(cluster_size_, ones ? std::byte{0xff} : std::byte{0});
    if (place != 0) {
        file_.read(place, bytes);
    }
    clear_bits_from(bytes, valid_ > first ? valid_ - first : 0);
    if (written) {
        const Range within{covered.offset,
                           std::min(covered.length, new_size_ - std::min(new_size_, covered.offset))};
        changed_.for_each(within, [&](Range range) {
            set_bits(bytes, range.offset / granularity - first, divide_up(range.end(), granularity) - first);
        });
    }
    if (std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; })) {
        return 0;
    }
    const std::uint64_t offset = tail_.append(1);
    write_fresh(file_, offset, bytes);
    return offset;
}

} // namespace

std::optional<BitmapDirectoryLocation> write_bitmaps(Image& image, std::uint64_t new_size,
                                                     const ChangedRanges& changed, Tail& tail,
                                                     ReferenceCount& references) {
    const Header& header = image.metadata().header();
    if (!header.bitmaps) {
        return std::nullopt;
    }
    File& file = image.file();
    const BitmapDirectoryLocation& present = *header.bitmaps;
    std::vector<std::byte> directory(round_up(present.range.length, header.cluster_size()));
    file.read(present.range.offset, std::span(directory).first(present.range.length));
    bool renewed = false;
    for (const Bitmap& bitmap : image.bitmaps()) {
        const bool differs = new_size != header.virtual_size || (bitmap.info.recording && !changed.empty());
        if (bitmap.info.in_use || !differs) {
            count_bitmap(image, bitmap, references);
            continue;
        }
        renewed = true;
        std::vector<std::uint64_t> table =
            BitmapRenewal(image, bitmap, new_size, changed, tail, references).make();
        const auto entries = static_cast<std::uint32_t>(table.size());
        table.resize(round_up(table.size() * 8, header.cluster_size()) / 8);
        const std::uint64_t offset = tail.append(table.size() * 8 / header.cluster_size());
        swap_words(table);
        write_fresh(file, offset, std::as_bytes(std::span(table)));
        store_big_endian<std::uint64_t>(std::span(directory), bitmap.entry_offset, offset);
        store_big_endian<std::uint32_t>(std::span(directory), bitmap.entry_offset + 8, entries);
    }
    if (!renewed) {
        references.add(present.range, By::metadata);
        return std::nullopt;
    }
    const std::uint64_t offset = tail.append(directory.size() / header.cluster_size());
    write_fresh(file, offset, directory);
    return BitmapDirectoryLocation{present.count, {offset, present.range.length}};
}

void check_bitmaps(Image& image, std::uint64_t new_size) {
    for (const Bitmap& bitmap : image.bitmaps()) {
        const std::uint64_t bytes = divide_up(divide_up(new_size, bitmap.info.granularity), 8);
        if (!bitmap.info.in_use && bytes > max_bitmap_bytes) {
            throw Error(
                ErrorCode::size_impossible,
                fmt::format("{}: its bitmap \"{}\" marks pieces of {} and can cover {} at most; remove it "
                            "with \"qemu-img bitmap --remove\" to get a larger disk",
                            image.file().path(), printable(bitmap.info.name),
                            size_text(bitmap.info.granularity),
                            exact_size_text(max_bitmap_bytes * 8 * bitmap.info.granularity)),
                Reason::size_too_large);
        }
    }
}

} // namespace disktool::qcow2
