// SPDX-License-Identifier: LGPL-2.1-or-later
#include "minimum_size.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace disktool::btrfs {

namespace {

/// The kernel refuses less.
constexpr std::uint64_t kernel_minimum = 256 * MiB;
/// A new chunk takes a tenth of the file system, in steps of 16 MiB, but no more than these.
constexpr std::uint64_t piece_step = 16 * MiB;
constexpr std::uint64_t data_piece_limit = 1 * GiB;
constexpr std::uint64_t system_piece_limit = 32 * MiB;
/// A preallocated one; written ones are shorter.
constexpr std::uint64_t longest_kernel_extent = 256 * MiB;
constexpr std::uint64_t unallocated_slack = 4 * MiB;
constexpr std::uint64_t small_metadata_piece_limit = 256 * MiB;
constexpr std::uint64_t large_metadata_piece_limit = 1 * GiB;
constexpr std::uint64_t large_metadata_from = 50 * GiB; ///< file systems larger than this
constexpr std::uint64_t reserve_limit = 512 * MiB;      ///< of the kernel's global reserve of metadata

struct Pieces {
    std::uint64_t data, metadata, system; ///< bytes of a new chunk, each copy
    friend bool operator==(const Pieces&, const Pieces&) = default;
};

Pieces pieces_for(std::uint64_t size) {
    const std::uint64_t tenth = round_up(size / 10, piece_step);
    return {
        std::min(tenth, data_piece_limit),
        std::min(tenth, size > large_metadata_from ? large_metadata_piece_limit : small_metadata_piece_limit),
        std::min(tenth, system_piece_limit)};
}

/// The kernel shrinks by taking the new end at once and then moving, from the last one downwards, each chunk
/// that reaches beyond it into new chunks below. New chunks take the free holes of the device; they are as
/// large as pieces_for() says where a hole is, else smaller.
///
/// What is reckoned, so that it cannot run out:
/// - The contents of consecutive chunks that together fit into one piece need at most one: the first
///   extent that fits nowhere else opens it, and the rest follows. A chunk that is larger than a piece
///   needs more of them, each filled to all but less than its longest extent, as extents are moved
///   whole.
/// - Metadata are nodes, which fill any room. Beside those to be moved they need the kernel's global
///   reserve and some working space, less what is free in the metadata chunks that stay.
/// - Holes are counted in slots of one data piece (all copies). A piece of another kind spoils as many
///   slots as it covers, rounded up. Or: one hole alone has room for all of them.
/// - A superblock's place in a hole splits a piece: one slot less. The longest extent must fit into
///   half a piece then, as the kernel gives up when it does not fit into a new one.
/// - As long as all chunks together are larger than the new size, the kernel makes no new one, whatever
///   holes there are. A chunk that was moved counts no more.
/// - A system chunk is moved only while there is more unallocated space than one data chunk (times its
///   copies): the kernel makes no new one for it beforehand, but counts on that space. It tries again
///   after all others.
class ShrinkModel {
  public:
    ShrinkModel(const Superblock& super, const ChunkMap& chunks, std::span<const std::uint64_t> used,
                const LongestExtent& longest_extent)
        : super_(super), chunks_(chunks), used_(used), longest_extent_(longest_extent) {
        for (std::size_t i = 0; i < list().size(); ++i) {
            const Chunk& chunk = list()[i];
            if ((chunk.type & profile::data) != 0)
                data_copies_ = std::max(data_copies_, chunk.copies);
            else if ((chunk.type & profile::metadata) != 0)
                metadata_copies_ = std::max(metadata_copies_, chunk.copies);
            else
                system_copies_ = std::max(system_copies_, chunk.copies);
            if ((chunk.type & profile::metadata) != 0)
                metadata_used_ += used[i];
            if (is_metadata(chunk))
                kept_metadata_free_ += chunk.length - used[i];
            allocated_ += chunk.length * chunk.copies;
            mixed_ |= (chunk.type & profile::data) != 0 && (chunk.type & profile::metadata) != 0;
        }
        find_holes();
    }

    /// The least size down to which every size can be had.
    std::uint64_t minimum() {
        const std::vector<std::uint64_t> bounds = breakpoints();
        std::uint64_t best = super_.device_bytes;
        // Between two bounds the chunks to be moved and the pieces are the same all along.
        for (std::size_t i = bounds.size() - 1; i-- > 0;) {
            move_chunks_beyond(bounds[i]);
            use_pieces(pieces_for(bounds[i]));
            const std::optional<std::uint64_t> least = least_between(bounds[i], bounds[i + 1]);
            if (!least || may_be_split(bounds[i + 1]))
                break;
            best = *least;
            if (*least != bounds[i])
                break;
        }
        return best;
    }

  private:
    struct Hole {
        Range range;
        std::uint64_t slots_before = 0; ///< in the holes before this one
        std::uint64_t largest_before = 0;
    };

    const std::vector<Chunk>& list() const { return chunks_.chunks(); }
    static bool is_metadata(const Chunk& chunk) { return (chunk.type & profile::kinds) == profile::metadata; }
    static bool is_data(const Chunk& chunk) { return (chunk.type & profile::data) != 0; }

    void find_holes() {
        std::uint64_t at = device_head;
        for (const ChunkMap::Stripe& stripe : chunks_.stripes()) {
            if (stripe.range.offset > at)
                holes_.push_back({{at, stripe.range.offset - at}});
            at = std::max(at, stripe.range.end());
        }
        if (at < super_.device_bytes)
            holes_.push_back({{at, super_.device_bytes - at}});
    }

    /// Where the chunks to be moved or the pieces change, ascending, from the kernel's minimum to the size.
    std::vector<std::uint64_t> breakpoints() const {
        const std::uint64_t size = super_.device_bytes;
        std::set<std::uint64_t> places = {kernel_minimum, size};
        const auto add = [&](std::uint64_t place) {
            if (place > kernel_minimum && place < size)
                places.insert(place);
        };
        for (const ChunkMap::Stripe& stripe : chunks_.stripes())
            add(stripe.range.end());
        // A tenth of these is a whole number of steps; the next sector needs one more.
        for (std::uint64_t place = 0; place <= 10 * data_piece_limit; place += 10 * piece_step)
            add(place + super_.sector_size);
        add(large_metadata_from + super_.sector_size);
        return {places.begin(), places.end()};
    }

    /// Adds those that are not among the moved ones yet, from the end of the device downwards.
    void move_chunks_beyond(std::uint64_t end) {
        const std::vector<ChunkMap::Stripe>& stripes = chunks_.stripes();
        for (; moved_stripes_ < stripes.size(); ++moved_stripes_) {
            const ChunkMap::Stripe& stripe = stripes[stripes.size() - 1 - moved_stripes_];
            if (stripe.range.end() <= end)
                break;
            if (!moved_.insert(stripe.chunk).second)
                continue;
            const Chunk& chunk = list()[stripe.chunk];
            if (is_data(chunk)) {
                moved_data_.push_back(stripe.chunk);
                most_moved_ = std::max(most_moved_, used_[stripe.chunk]);
                pack(stripe.chunk);
            } else if (is_metadata(chunk)) {
                moved_metadata_used_ += used_[stripe.chunk];
                kept_metadata_free_ -= chunk.length - used_[stripe.chunk];
            } else {
                system_moved_ = true;
            }
        }
    }

    void use_pieces(const Pieces& pieces) {
        if (pieces_ == pieces)
            return;
        pieces_ = pieces;
        slot_ = pieces.data * data_copies_;
        std::uint64_t slots = 0;
        std::uint64_t largest = 0;
        for (Hole& hole : holes_) {
            hole.slots_before = slots;
            hole.largest_before = largest;
            slots += slots_in(hole.range);
            largest = std::max(largest, whole_room(hole.range));
        }
        data_pieces_ = 0;
        room_in_piece_ = 0;
        removed_ = 0;
        peak_ = 0;
        impossible_ = false;
        for (const std::size_t chunk : moved_data_)
            pack(chunk);
    }

    /// Into the piece that is open, or new ones.
    void pack(std::size_t chunk) {
        const std::uint64_t used = used_[chunk];
        // A free-space cache of the old kind is data too, and changes as chunks come and go.
        const bool cache = !super_.has(read_only_compatible::free_space_tree);
        const std::uint64_t room = cache ? pieces_.data - pieces_.data / 8 : pieces_.data;
        if (data_pieces_ > 0 && used <= room_in_piece_) {
            room_in_piece_ -= used;
        } else if (used <= room) {
            ++data_pieces_;
            room_in_piece_ = room - used;
        } else {
            const std::uint64_t longest = longest_in(chunk);
            impossible_ |= longest >= room;
            if (!impossible_)
                data_pieces_ += divide_up(used, room - longest);
            room_in_piece_ = 0;
        }
        peak_ = std::max(peak_, data_pieces_ * slot_ - std::min(data_pieces_ * slot_, removed_));
        removed_ += list()[chunk].length * list()[chunk].copies;
    }

    std::uint64_t longest_in(std::size_t chunk) {
        const auto [known, is_new] = longest_.try_emplace(chunk, 0);
        if (is_new)
            known->second = longest_extent_(chunk);
        return known->second;
    }

    /// Could a new piece below `end` be split by a superblock's place so that an extent fits into neither half?
    bool may_be_split(std::uint64_t end) {
        const std::uint64_t half = (pieces_.data - std::min(pieces_.data, superblock_space)) / 2;
        if (half >= longest_kernel_extent)
            return false;
        const bool in_hole = std::ranges::any_of(holes_, [&](const Hole& hole) {
            return hole.range.offset < end && superblocks_in(hole.range) > 0;
        });
        return in_hole &&
               std::ranges::any_of(moved_data_, [&](std::size_t chunk) { return longest_in(chunk) > half; });
    }

    /// Bytes that metadata need below the new end, beside those that stay, before copies.
    std::uint64_t metadata_need() const {
        const std::uint64_t base = mixed_ ? metadata_used_ / 16 : metadata_used_;
        const std::uint64_t reserve = std::min(base + 16 * MiB, reserve_limit);
        const std::uint64_t working = 512ull * super_.node_size + most_moved_ / 16;
        const std::uint64_t need = moved_metadata_used_ + reserve + working;
        return need > kept_metadata_free_ ? need - kept_metadata_free_ : 0;
    }

    struct Need {
        std::uint64_t slots = 0;
        std::uint64_t bytes = 0;
        std::uint64_t size = 0; ///< of the file system, at least: room beside all chunks for new ones
    };
    Need need() const {
        Need sum;
        const auto add = [&](std::uint64_t count, std::uint64_t piece) {
            sum.slots += count * divide_up(piece, slot_);
            sum.bytes += count * piece;
        };
        add(data_pieces_, slot_);
        if (mixed_ && !moved_.empty())
            add(divide_up(metadata_need(), pieces_.data), slot_);
        else if (!mixed_)
            add(divide_up(metadata_need(), pieces_.metadata), pieces_.metadata * metadata_copies_);
        if (!moved_.empty())
            add(system_moved_ ? 2 : 1, pieces_.system * system_copies_);
        if (sum.bytes == 0)
            return sum;
        const std::uint64_t data = data_pieces_ * slot_;
        const std::uint64_t others = allocated_ + sum.bytes - data;
        sum.size = others + peak_;
        if (system_moved_)
            sum.size = std::max(sum.size, others + data - std::min(data, removed_) +
                                              system_copies_ * pieces_.data + unallocated_slack);
        sum.size = round_up(sum.size, super_.sector_size);
        return sum;
    }

    static std::uint64_t superblocks_in(Range range) {
        return static_cast<std::uint64_t>(std::ranges::count_if(superblock_places, [&](std::uint64_t place) {
            return place + superblock_space > range.offset && place < range.end();
        }));
    }
    std::uint64_t slots_in(Range range) const {
        const std::uint64_t slots = range.length / slot_;
        return slots - std::min(slots, superblocks_in(range));
    }
    std::uint64_t whole_room(Range range) const {
        return range.length - std::min(range.length, superblocks_in(range) * slot_);
    }

    /// The least size in [low, high) that has the room; none where no such has.
    std::optional<std::uint64_t> least_between(std::uint64_t low, std::uint64_t high) const {
        const Need want = need();
        low = std::max(low, want.size);
        if (impossible_ || low >= high)
            return std::nullopt;
        // The holes that end at or before `low`, and the one that grows with the size, if any.
        const auto growing =
            std::ranges::partition_point(holes_, [&](const Hole& h) { return h.range.end() <= low; });
        if (growing == holes_.end()) // no hole from here to the end of the device
            return has_room(want, {}, low) ? std::optional(low) : std::nullopt;
        if (has_room(want, *growing, low))
            return low;
        const std::uint64_t end = std::min(high - 1, growing->range.end());
        std::optional<std::uint64_t> least;
        // Slots come at whole multiples; superblocks, three at most, cost one each.
        for (std::uint64_t extra = 0; extra <= superblock_places.size() + 1; ++extra)
            for (const std::uint64_t bytes :
                 {want.bytes + extra * slot_, missing_slots(want, *growing) * slot_ + extra * slot_}) {
                const std::uint64_t size = round_up(growing->range.offset + bytes, super_.sector_size);
                if (size > low && size <= end && has_room(want, *growing, size))
                    least = std::min(least.value_or(size), size);
            }
        return least;
    }

    std::uint64_t missing_slots(const Need& want, const Hole& growing) const {
        return want.slots - std::min(want.slots, growing.slots_before);
    }

    /// With the holes before `growing`, and of that what lies below `size`.
    bool has_room(const Need& want, const Hole& growing, std::uint64_t size) const {
        const std::uint64_t end = std::min(size, growing.range.end());
        const Range part = {growing.range.offset, end > growing.range.offset ? end - growing.range.offset : 0};
        return want.slots <= growing.slots_before + slots_in(part) ||
               want.bytes <= std::max(growing.largest_before, whole_room(part));
    }

    const Superblock& super_;
    const ChunkMap& chunks_;
    std::span<const std::uint64_t> used_;
    const LongestExtent& longest_extent_;
    std::vector<Hole> holes_; ///< by place
    bool mixed_ = false;
    std::uint32_t data_copies_ = 1, metadata_copies_ = 1, system_copies_ = 1;
    std::uint64_t allocated_ = 0;     ///< bytes of all chunks, all copies
    std::uint64_t metadata_used_ = 0; ///< mixed: of data too

    std::size_t moved_stripes_ = 0; ///< from the end of the list
    std::set<std::size_t> moved_;
    std::map<std::size_t, std::uint64_t> longest_; ///< extents, by chunk, as far as asked
    std::vector<std::size_t> moved_data_;          ///< in the kernel's order
    std::uint64_t moved_metadata_used_ = 0;
    std::uint64_t kept_metadata_free_ = 0;
    std::uint64_t most_moved_ = 0; ///< data in one chunk
    bool system_moved_ = false;

    Pieces pieces_{};
    std::uint64_t slot_ = 1;
    std::uint64_t data_pieces_ = 0;
    std::uint64_t room_in_piece_ = 0; ///< of the last one
    std::uint64_t removed_ = 0;       ///< bytes of the data chunks moved
    std::uint64_t peak_ = 0;          ///< of the pieces' bytes less those removed before
    bool impossible_ = false;         ///< an extent is longer than a piece
};

} // namespace

MinimumSize compute_minimum_size(const Superblock& super, const ChunkMap& chunks,
                                 std::span<const std::uint64_t> used, const LongestExtent& longest_extent) {
    const std::uint64_t size = super.device_bytes;
    std::uint64_t allocated = 0;
    for (const ChunkMap::Stripe& stripe : chunks.stripes())
        allocated += stripe.range.length;
    if (size <= kernel_minimum)
        return {size, Reason::filesystem_full_to_size, "btrfs cannot be made smaller than 256 MiB"};
    const std::uint64_t minimum =
        std::min(size, round_up(ShrinkModel(super, chunks, used, longest_extent).minimum(), MiB));
    if (minimum == size)
        return {size, Reason::filesystem_full_to_size,
                fmt::format("its chunks take {} of it, and there is no sure room to move them downwards",
                            size_text(allocated))};
    if (minimum == kernel_minimum)
        return {minimum, Reason::used_blocks, "btrfs cannot be made smaller than 256 MiB"};
    return {minimum, Reason::used_blocks,
            fmt::format("its chunks take {}, and moving them needs room", size_text(allocated))};
}

} // namespace disktool::btrfs
