// SPDX-License-Identifier: LGPL-2.1-or-later
// The switch from the old state of a top delta to the new one.
#include "bat_switch.h"
#include "work.h"

#include <disktool/error.h>
#include <disktool/log.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace disktool::ploop {

/// What the old state holds where the longer BAT will lie: copied away, since the new BAT is written over it.
void Work::move_out_of(std::uint64_t data_start) {
    std::vector<std::byte> buffer(cluster_size_);
    for (Cluster cluster = 0; cluster < top_.clusters(); ++cluster) {
        const std::optional<std::uint64_t> where = top_.place(cluster);
        if (where && *where / cluster_size_ < data_start && !changed_.contains(cluster)) {
            top_.file().read(*where, buffer);
            place(cluster, buffer);
        }
    }
}

/// Every cluster of the disk gets a place with blocks of the host behind it. Those that are new read as zeros.
void Work::reserve(const Header& header) {
    const std::vector<std::byte> zeros(cluster_size_);
    std::vector<std::byte> buffer(cluster_size_);
    for (Cluster cluster = 0; cluster < header.entries; ++cluster) {
        const auto found = changed_.find(cluster);
        const bool placed = found != changed_.end()
                                ? found->second != cleared
                                : cluster < top_.clusters() && top_.place(cluster).has_value();
        if (placed) {
            continue;
        }
        const std::uint64_t before = end_;
        if (reads_zero(cluster)) {
            const std::uint64_t where = new_place();
            // What a killed run wrote behind the last used cluster is still there.
            if (where / cluster_size_ >= before && where >= file_size_) {
                top_.file().allocate({where, cluster_size_}, false);
            } else {
                top_.file().write(where, zeros);
            }
            changed_[cluster] = where;
        } else { // shows through from below
            read_cluster(cluster, buffer);
            place(cluster, buffer);
        }
    }
}

std::vector<std::uint32_t> Work::new_bat(const Header& header, const WorkCommit& request) {
    const std::vector<std::byte> zeros(cluster_size_);
    std::vector<std::uint32_t> bat(header.entries);
    for (Cluster cluster = 0; cluster < header.entries; ++cluster) {
        const auto found = changed_.find(cluster);
        if (found == changed_.end()) {
            if (cluster < top_.clusters()) {
                bat[cluster] = offset_entry(header, top_.place(cluster).value_or(0));
            }
            continue;
        }
        if (found->second == cleared && below_ != nullptr && !request.drop_backing &&
            cluster * cluster_size_ < below_->size()) {
            place(cluster, zeros); // else the old content would shine through from below
        }
        bat[cluster] = offset_entry(header, changed_.at(cluster));
    }
    return bat;
}

void Work::commit(const WorkCommit& request) {
    const std::scoped_lock lock(mutex_);
    if (over_ || request.size > size_) {
        throw std::logic_error("a commit after the end of its working disk, or larger than it");
    }
    const std::uint64_t sectors = round_up(divide_up(request.size, sector_size), top_.header().cluster_sectors);
    Header header = new_header(sectors, top_.header().cluster_sectors, top_.header().version);
    // A shorter BAT leaves its clusters where they are: the data begins where it did.
    header.data_start_sectors = std::max(header.data_start_sectors, top_.header().data_start_sectors);
    bool decided = false;
    try {
        move_out_of(header.data_start());
        if (request.reserve) {
            reserve(header);
        }
        const std::vector<std::uint32_t> bat = new_bat(header, request);
        const bool empty = std::ranges::all_of(bat, [](std::uint32_t entry) { return entry == 0; });
        header.flags = empty ? flag_empty : 0;
        if (top_.file().status().size < header.data_start() * cluster_size_) {
            top_.file().truncate(header.data_start() * cluster_size_);
        }
        switch_bat(doors_, top_.file(), header, bat, decided, [&] { settled_(header.disk_sectors); });
    } catch (...) {
        if (decided) {
            over_ = true; // old and new state need all that is there
        } else {
            abandon();
        }
        throw;
    }
    over_ = true;
    if (done_) {
        done_();
    }
}

} // namespace disktool::ploop
