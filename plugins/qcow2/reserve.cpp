// SPDX-License-Identifier: LGPL-2.1-or-later
// The part of a Commit that makes an image plain.
#include "commit.h"
#include "host_space.h"

#include <disktool/error.h>
#include <disktool/log.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <exception>

namespace disktool::qcow2 {

namespace {

/// So much at a time, that a host that writes zeros to reserve is not asked for all in one call.
constexpr std::uint64_t piece = 1 * GiB;

enum class Need { nothing, zeros, content };

class NeedOf {
  public:
    NeedOf(Metadata& metadata, NewDisk& disk) : metadata_(metadata), disk_(disk) {}

    Need operator()(std::uint64_t cluster) const {
        const std::uint64_t word = disk_.overlay().get(cluster);
        if (Overlay::is_place(word)) {
            return Need::nothing;
        }
        const bool beyond = cluster * metadata_.header().cluster_size() >= disk_.old_size();
        if (word == Overlay::unchanged && !beyond) {
            const ClusterEntry entry = metadata_.entry(cluster);
            if (entry.kind == ClusterKind::data && entry.allocated == 0xffff'ffff) {
                return Need::nothing;
            }
        }
        return disk_.reads_zero(cluster) ? Need::zeros : Need::content;
    }

  private:
    Metadata& metadata_;
    NewDisk& disk_;
};

} // namespace

void Commit::reserve_clusters() {
    const NeedOf need(metadata_, disk_);
    std::uint64_t missing = 0;
    for (std::uint64_t cluster = 0; cluster < clusters_; ++cluster) {
        missing += need(cluster) != Need::nothing;
    }
    check_room(missing);
    for (std::uint64_t cluster = 0; cluster < clusters_;) {
        const Need first = need(cluster);
        std::uint64_t end = cluster + 1;
        if (first == Need::content) {
            disk_.copy(cluster, request_.size);
        } else if (first == Need::zeros) {
            while (end < clusters_ && need(end) == Need::zeros) {
                ++end;
            }
            disk_.place_zeros(cluster, end - cluster);
        }
        cluster = end;
    }
}

/// Said before anything is taken. What the tables need is a bound, not a figure.
void Commit::check_room(std::uint64_t clusters) {
    const std::uint64_t tables = divide_up(clusters_, header_.l2_entries());
    const std::uint64_t counted = divide_up(metadata_.file_size(), cluster_size_) + clusters + tables;
    const std::uint64_t blocks = divide_up(counted, present_counts_.per_block()) + 1;
    const std::uint64_t allocated = file_.status().allocated;
    const std::uint64_t held = allocated - std::min(allocated, disk_.tail().used());
    const std::uint64_t sparse = present_.used - std::min(present_.used, held);
    const std::uint64_t needed = (clusters + tables + blocks) * cluster_size_ + (tables + blocks) * 8 + sparse;
    const std::uint64_t free = image_.opener().doors().files.free_space(file_.path());
    if (clusters != 0 && free < needed) {
        throw Error(
            ErrorCode::no_space,
            fmt::format("{}: Not enough free space ( needed: {} available: {} ) in MiB on its host file "
                        "system to reserve all of the disk; make room and run it again",
                        file_.path(), divide_up(needed, MiB), free / MiB));
    }
}

void Commit::reserve_blocks() {
    const bool was_plain = image_.allocation() == Allocation::plain;
    if (!was_plain) {
        const ExtentSet old = needed_.clip({0, metadata_.file_size()});
        reserved_ = old.subtract(held_bytes(file_, old));
    }
    for (const Range& range : needed_) {
        for (std::uint64_t at = range.offset; at < range.end(); at += piece) {
            file_.allocate({at, std::min(piece, range.end() - at)}, true);
        }
    }
}

void Commit::unreserve() noexcept {
    try {
        for (const Range& hole : reserved_.rounded_inward(host_block)) {
            file_.punch_hole(hole);
        }
    } catch (const std::exception& error) {
        log(LogLevel::warning,
            fmt::format("Not all of what was reserved could be given back: {}", error.what()));
    }
}

} // namespace disktool::qcow2
