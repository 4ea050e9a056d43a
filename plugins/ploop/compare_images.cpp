// SPDX-License-Identifier: LGPL-2.1-or-later
#include "compare_images.h"

#include "page_buffer.h"
#include "ploop_error.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool::ploop {

namespace {

constexpr std::uint64_t at_once = 4 * MiB;

void read(const Delta& delta, const Delta::Run& run, std::span<std::byte> buffer) {
    if (run.offset) {
        delta.read_at(*run.offset, buffer);
    } else {
        std::ranges::fill(buffer, std::byte{0});
    }
}

} // namespace

void refuse_replacement(const Delta& one, const Delta& other, const std::string& what) {
    throw PloopError(Exit::fatal_check, ErrorCode::damaged,
                     fmt::format("{} cannot take the place of {}: {}. Only a copy of an image can",
                                 other.path(), one.path(), what));
}

void require_same_content(const Delta& one, const Delta& other, bool base,
                          const std::function<void(std::uint64_t)>& compared) {
    if (one.raw() != other.raw() || one.cluster_size() != other.cluster_size() ||
        one.disk_size() != other.disk_size()) {
        refuse_replacement(one, other,
                           fmt::format("the one is a disk of {} with clusters of {}, the other of {} with {}",
                                       exact_size_text(one.disk_size()), size_text(one.cluster_size()),
                                       exact_size_text(other.disk_size()), size_text(other.cluster_size())));
    }
    const std::uint64_t unit = one.cluster_size();
    const std::uint64_t most = std::max<std::uint64_t>(1, at_once / unit);
    PageBuffer our_memory, their_memory;
    for (std::uint64_t cluster = 0; cluster < one.clusters();) {
        // What neither has is a step, however long.
        const Delta::Run here = one.look(cluster, one.clusters() - cluster);
        const Delta::Run there = other.look(cluster, here.clusters);
        std::uint64_t count = there.clusters;
        if (here.offset || there.offset) {
            count = std::min(count, most);
            const std::uint64_t offset = cluster * unit;
            if (here.offset.has_value() != there.offset.has_value() && !base) {
                refuse_replacement(one, other,
                                   fmt::format("only one of them holds the guest's cluster {}, at offset {}",
                                               cluster, offset));
            }
            const std::uint64_t length = std::min(count * unit, one.disk_size() - offset);
            const auto ours = our_memory.get(length), theirs = their_memory.get(length);
            read(one, here, ours);
            read(other, there, theirs);
            const auto differs = std::ranges::mismatch(ours, theirs).in1;
            if (differs != ours.end()) {
                refuse_replacement(one, other,
                                   fmt::format("the guest's bytes differ at offset {}",
                                               offset + static_cast<std::uint64_t>(differs - ours.begin())));
            }
            compared((here.offset.has_value() + there.offset.has_value()) * length);
        }
        cluster += count;
    }
}

} // namespace disktool::ploop
