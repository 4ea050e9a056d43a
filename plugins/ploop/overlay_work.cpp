// SPDX-License-Identifier: LGPL-2.1-or-later
#include "overlay_work.h"

#include <disktool/bytes.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

namespace disktool::ploop {

OverlayWork::OverlayWork(std::unique_ptr<Delta> base, std::uint64_t size)
    : name_(base->path()), size_(size), base_(std::move(base)) {
    const std::uint64_t largest = largest_disk(Version::v2, base_->header().cluster_sectors);
    if (divide_up(size, sector_size) > largest - base_->header().cluster_sectors) {
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{}: a disk with clusters of {} holds at most {}", name_,
                                size_text(base_->cluster_size()), size_text(largest * sector_size)),
                    Reason::size_too_large);
    }
}

void OverlayWork::make_overlay(FileDoor& files, const std::string& path, bool like_base) {
    const std::uint32_t unit = base_->header().cluster_sectors;
    {
        const auto file =
            files.open(path, {.write = true, .create = true, .exclusive = true, .follow_links = false});
        if (like_base) {
            file->take_attributes(base_->file());
        }
        Delta::create(*file, {round_up(divide_up(size_, sector_size), unit), unit, Version::v2, false});
    }
    std::vector<std::unique_ptr<Delta>> deltas;
    deltas.push_back(std::move(base_));
    deltas.push_back(Delta::open(files.open(path, {.write = true, .follow_links = false}), Access::write));
    chain_ = std::make_unique<ChainDevice>(std::move(deltas), name_);
    chain_->begin();
}

void OverlayWork::close_overlay() {
    chain_->end();
    chain_.reset();
}

void OverlayWork::read(std::uint64_t offset, std::span<std::byte> buffer) {
    check_range(offset, buffer.size());
    chain_->read(offset, buffer);
}

std::vector<Extent> OverlayWork::extents(Range range) {
    check_range(range.offset, range.length);
    return chain_->extents(range);
}

void OverlayWork::write(std::uint64_t offset, std::span<const std::byte> data) {
    check_range(offset, data.size());
    if (all_zero(data)) {
        zero({offset, data.size()}); // what is not there needs no place to be zero
    } else {
        chain_->write(offset, data);
    }
}

void OverlayWork::discard(Range range) {
    const std::uint64_t unit = chain_->top().cluster_size();
    const std::uint64_t first = round_up(range.offset, unit);
    const std::uint64_t end = range.end() == size_ ? size_ : round_down(range.end(), unit);
    if (first < end) {
        zero({first, end - first});
    }
}

void OverlayWork::zero(Range range) {
    check_range(range.offset, range.length);
    for (const Extent& extent : chain_->extents(range)) {
        if (extent.kind == ExtentKind::data) {
            chain_->zero(extent.range);
        }
    }
}

std::uint64_t OverlayWork::space_taken() const {
    return chain_->deltas().back()->allocated_clusters() * chain_->deltas().back()->cluster_size();
}

} // namespace disktool::ploop
