// SPDX-License-Identifier: GPL-2.0-or-later
#include "cluster_bitmap.h"

#include "damage.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <vector>

namespace disktool::ntfs {

namespace {

/// Collects the runs of zero bits that a stream of words holds.
class FreeRuns {
  public:
    explicit FreeRuns(std::uint64_t cluster_size) : cluster_size_(cluster_size) {}

    /// The next `count` bits, at most 64, the lowest first.
    void take(std::uint64_t word, unsigned count) {
        unsigned at = 0;
        while (at < count) {
            const std::uint64_t rest = word >> at;
            const bool used = (rest & 1) != 0;
            const unsigned same = std::min(
                static_cast<unsigned>(used ? std::countr_one(rest) : std::countr_zero(rest)), count - at);
            if (used)
                close();
            else
                length_ += same;
            position_ += same;
            at += same;
        }
    }
    void close() {
        if (length_ > 0)
            free_.append({(position_ - length_) * cluster_size_, length_ * cluster_size_});
        length_ = 0;
    }
    ExtentSet result() {
        close();
        return std::move(free_);
    }

  private:
    std::uint64_t cluster_size_;
    std::uint64_t position_ = 0; ///< clusters
    std::uint64_t length_ = 0;   ///< of the free run that ends at position_
    ExtentSet free_;
};

} // namespace

ExtentSet read_cluster_bitmap(const Volume& volume) {
    const std::uint64_t clusters = volume.boot().clusters();
    const AttributeData bitmap = volume.need(bitmap_file, AttributeType::data);
    const std::uint64_t bytes = divide_up(clusters, 8);
    if (bitmap.encoded || bitmap.sparse || bitmap.size() < bytes ||
        (!bitmap.resident && bitmap.initialized_size < bytes))
        throw damage(volume.device(),
                     fmt::format("its $Bitmap (MFT record 6) does not hold a bit for each of its {} "
                                 "clusters",
                                 clusters));
    FreeRuns runs(volume.boot().cluster_size());
    std::vector<std::byte> piece;
    for (std::uint64_t at = 0; at < bytes; at += piece.size()) {
        piece.assign(std::min<std::uint64_t>(MiB, bytes - at), std::byte{0});
        volume.read(bitmap, at, piece);
        std::uint64_t left = std::min<std::uint64_t>(clusters - at * 8, piece.size() * 8);
        const std::size_t whole = left / 64;
        for (std::size_t i = 0; i < whole; ++i)
            runs.take(little<std::uint64_t>(piece, 8 * i), 64);
        left -= whole * 64;
        for (std::size_t i = 8 * whole; left > 0; ++i) {
            const auto count = static_cast<unsigned>(std::min<std::uint64_t>(left, 8));
            runs.take(std::to_integer<std::uint64_t>(piece[i]), count);
            left -= count;
        }
    }
    return runs.result();
}

void check_against_metadata(const Volume& volume, const ExtentSet& free) {
    ExtentSet metadata;
    for (const Range& range : volume.metadata())
        metadata.append(range);
    metadata = metadata.unite(ExtentSet({0, volume.boot().cluster_size()}));
    if (const ExtentSet both = free.intersect(metadata); !both.empty())
        throw damage(volume.device(),
                     fmt::format("its $Bitmap calls metadata at byte {} free", both.begin()->offset));
}

} // namespace disktool::ntfs
