// SPDX-License-Identifier: LGPL-2.1-or-later
// A larger disk and a smaller file, while the disk is in use.
#include "grow.h"
#include "running_change.h"
#include "served_disk.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool::ploop {

RunningDisk::Compacted ServedDisk::compact(const Watch& watch) {
    require_writable("compact");
    require_untracked();
    const std::uint64_t unit = top().cluster_size();
    const std::uint64_t batch = std::max<std::uint64_t>(1, source_.batch_bytes / unit);
    const std::uint64_t round = std::max<std::uint64_t>(batch, source_.round_bytes / unit);
    device_->flush(); // places that were freed are holes now
    const std::uint64_t total = device_->tail(UINT64_MAX).size();
    Compacted result;
    Turns turns;
    while (!watch.cancelled()) {
        const std::vector<Delta::Move> moves = device_->tail(round);
        std::uint64_t moved = 0;
        for (std::size_t i = 0; i < moves.size() && !watch.cancelled(); i += batch) {
            const auto part = std::span(moves).subspan(i, std::min<std::size_t>(batch, moves.size() - i));
            moved += turns.run([&] { return device_->move_down(part); });
            watch.advanced(std::min((result.clusters_moved + moved) * unit, total * unit), total * unit);
        }
        device_->flush();
        result.bytes_cut += device_->cut_tail();
        if (moved == 0) {
            break;
        }
        result.clusters_moved += moved;
    }
    device_->flush();
    return result;
}

void ServedDisk::grow(std::uint64_t disk_sectors, const Say& say) {
    require_writable("grow");
    if (source_.descriptor.empty()) {
        require_untracked();
        require_grow_size(top(), disk_sectors);
        require_nothing_below(device_->deltas(), disk_sectors);
        grow_top(disk_sectors);
        return;
    }
    const auto disk = open_for("grow", say);
    require_grow_size(top(), disk_sectors);
    require_nothing_below(device_->deltas(), disk_sectors);
    if (disk_sectors == top().header().disk_sectors && disk_sectors == disk->descriptor.disk_sectors) {
        return;
    }
    Descriptor after = disk->descriptor;
    after.modernise();
    after.set_size(disk_sectors);
    DiskChange change(*disk, "grow", std::move(after));
    change.will_change(top().path());
    change.will_grow_to(disk_sectors);
    const std::uint64_t before = top().disk_size();
    try {
        change.begin();
        grow_top(disk_sectors);
        change.switch_over();
    } catch (...) {
        if (top().disk_size() == before) {
            take_back(change, say);
        }
        throw; // else the next mount stores the descriptor
    }
    change.finish();
    adopt(disk->descriptor); // which may have been of the old format
}

void ServedDisk::grow_top(std::uint64_t disk_sectors) {
    if (disk_sectors == top().header().disk_sectors) {
        return;
    }
    const std::uint64_t batch = std::max<std::uint64_t>(1, source_.batch_bytes / top().cluster_size());
    Turns turns;
    try {
        while (turns.run([&] { return device_->make_way(disk_sectors, batch); }) > 0) {
            device_->flush();
        }
        device_->flush();
        device_->clear_way(disk_sectors);
        ChainDevice::Pause pause(*device_);
        top().grow(disk_sectors);
    } catch (...) {
        device_->make_way(0, 0);
        throw;
    }
}

} // namespace disktool::ploop
