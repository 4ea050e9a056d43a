// SPDX-License-Identifier: LGPL-2.1-or-later
#include "reference_count.h"

#include "damage.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <limits>
#include <utility>

namespace disktool::qcow2 {

ReferenceCount::ReferenceCount(std::string path, std::uint64_t file_size, std::uint64_t cluster_size)
    : path_(std::move(path)), cluster_size_(cluster_size), clusters_(divide_up(file_size, cluster_size)) {
    if (clusters_ > max_clusters) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("{}: a file of {} has {} clusters of {}, more than the {} that are handled; "
                                "convert it with \"qemu-img convert\" to a larger cluster size",
                                path_, exact_size_text(file_size), clusters_, size_text(cluster_size),
                                max_clusters));
    }
    pages_.resize(divide_up(clusters_, page_clusters));
}

void ReferenceCount::add(Range place, By by) {
    if (place.empty()) {
        return;
    }
    if (place.offset > clusters_ * cluster_size_ || place.length > clusters_ * cluster_size_ - place.offset) {
        throw_damaged(path_, fmt::format("{} bytes at offset {} are in use and lie beyond the end of the file",
                                         place.length, place.offset));
    }
    for (std::uint64_t cluster = first(place); cluster <= last(place); ++cluster) {
        std::unique_ptr<Page>& page = pages_[cluster / page_clusters];
        if (!page) {
            page = std::make_unique<Page>();
        }
        const std::size_t at = cluster % page_clusters;
        if (++page->references[at] == std::numeric_limits<std::uint16_t>::max()) {
            throw Error(ErrorCode::unsupported,
                        fmt::format("{}: the cluster at offset {} is referenced more than 65534 times", path_,
                                    cluster * cluster_size_));
        }
        switch (by) {
        case By::metadata:
        case By::compressed:
            break;
        case By::snapshot:
            page->in_snapshot.set(at);
            break;
        case By::active_copied:
            page->said_to_be_one.set(at);
            break;
        case By::active:
            page->said_to_be_more.set(at);
            break;
        }
    }
}

void ReferenceCount::remove(Range place) {
    for (std::uint64_t cluster = first(place); cluster <= last(place); ++cluster) {
        auto& removed = pages_[cluster / page_clusters]->removed;
        if (!removed) {
            removed = std::make_unique<std::array<std::uint16_t, page_clusters>>();
        }
        ++(*removed)[cluster % page_clusters];
    }
}

ReferenceCount::Cell ReferenceCount::at(std::uint64_t cluster) const {
    if (cluster >= clusters_ || !pages_[cluster / page_clusters]) {
        return {};
    }
    const Page& page = *pages_[cluster / page_clusters];
    const std::size_t at = cluster % page_clusters;
    const std::uint32_t removed = page.removed ? (*page.removed)[at] : 0;
    return {page.references[at], removed, page.in_snapshot[at], page.said_to_be_one[at],
            page.said_to_be_more[at]};
}

bool ReferenceCount::in_snapshot(Range place) const {
    for (std::uint64_t cluster = first(place); cluster <= last(place); ++cluster) {
        if (at(cluster).in_snapshot) {
            return true;
        }
    }
    return false;
}

} // namespace disktool::qcow2
