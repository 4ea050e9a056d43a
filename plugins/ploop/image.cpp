// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image.h"

#include "bat_switch.h"
#include "change_steps.h"
#include "raw_extents.h"
#include "raw_work.h"
#include "work.h"

#include <disktool/error.h>
#include <disktool/log.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace disktool::ploop {

namespace {

constexpr std::string_view format_name = "ploop";

void throw_refusal(const std::optional<Refusal>& refused) {
    if (refused) {
        throw Error(refused->reason == Reason::image_dirty ? ErrorCode::damaged : ErrorCode::unsupported,
                    refused->sentence, refused->reason);
    }
}

} // namespace

Image::Image(std::unique_ptr<ImageOpener> opener)
    : opener_(std::move(opener)), membership_(membership_of(doors().files, opener_->file().path())) {
    File& file = opener_->file();
    const bool writes = opener_->access() == Access::write;
    if (writes && membership_ && membership_->is_top()) {
        lock_disk();
    }
    // Of a disk, opening it has seen to that.
    if (writes && !membership_ && switch_left(doors(), file) && recover_switch(doors(), file)) {
        log(LogLevel::warning,
            fmt::format("{}: an interrupted change of its BAT was brought to its end", file.path()));
    }
    was_dirty_ = is_dirty();
    if (membership_) {
        if (!membership_->descriptor.key_id.empty()) {
            throw Error(
                ErrorCode::unsupported,
                fmt::format("{} is encrypted (key {} of {}); its content cannot be read without the key, which "
                            "disktool does not take",
                            file.path(), membership_->descriptor.key_id, membership_->descriptor_path),
                Reason::encrypted);
        }
        if (const ImageEntry* parent = membership_->parent()) {
            backing_ = opener_->open_backing(parent->file, parent->raw ? "raw" : std::string(format_name));
        }
    }
    delta_ = open_delta(was_dirty_);
    device_ = std::make_unique<LayeredDevice>(*delta_, below());
    fill_info();
}

/// While we waited for the lock, another program may have put another image on top of ours, which is not to be
/// written to any more then.
void Image::lock_disk() {
    disk_ = PloopDisk::open(doors(), membership_->descriptor_path, {});
    const std::string top = disk_->file_of(disk_->descriptor.top);
    const std::optional<FileStatus> status = doors().files.status(top);
    if (!status || !status->same_file(opener_->file().status())) {
        throw Error(
            ErrorCode::locked,
            fmt::format("{} was changed by another program while it was opened: {} is the image that is "
                        "written to now. Try again",
                        disk_->path(), top),
            Reason::image_in_use);
    }
    membership_->descriptor = disk_->descriptor;
    membership_->uuid = disk_->descriptor.top;
}

bool Image::is_raw() const {
    const ImageEntry* own = membership_ ? membership_->descriptor.image(membership_->uuid) : nullptr;
    return own != nullptr && own->raw;
}

bool Image::is_dirty() const {
    if (is_raw()) {
        return false;
    }
    std::array<std::byte, header_size> bytes{};
    opener_->file().read(0, bytes);
    return parse_header(bytes, opener_->file().path()).is_in_use();
}

Image::~Image() = default;

/// A descriptor of its own: the engine owns its file, and the locks stay with the core's.
std::unique_ptr<Delta> Image::open_delta(bool dirty_too) {
    const bool writes = opener_->access() == Access::write;
    std::unique_ptr<File> file =
        doors().files.open(opener_->file().path(), {.write = writes, .follow_links = false});
    if (!file->status().same_file(opener_->file().status())) {
        throw Error(
            ErrorCode::locked,
            fmt::format("{} was replaced by another program while it was opened; try again", file->path()),
            Reason::image_in_use);
    }
    return is_raw()
               ? Delta::open_raw(std::move(file), opener_->access(), membership_->descriptor.cluster_sectors)
               : Delta::open(std::move(file), opener_->access(), dirty_too);
}

void Image::reload() {
    delta_.reset();
    was_dirty_ = is_dirty();
    delta_ = open_delta(was_dirty_);
    device_ = std::make_unique<LayeredDevice>(*delta_, below());
    fill_info();
}

void Image::fill_info() {
    const FileStatus status = delta_->file().status();
    info_ = {};
    info_.path = delta_->path();
    info_.format = format_name;
    info_.virtual_size = delta_->disk_size();
    info_.file_size = status.size;
    info_.allocated = status.allocated;
    info_.cluster_size = static_cast<std::uint32_t>(delta_->cluster_size());
    info_.size_unit = delta_->cluster_size();
    info_.chain.push_back({info_.path, info_.format, info_.virtual_size, info_.allocated});
    if (backing_) {
        const auto& lower = backing_->info().chain;
        info_.chain.insert(info_.chain.end(), lower.begin(), lower.end());
    }
    info_.dirty = was_dirty_;
    if (raw()) {
        info_.details.emplace_back("raw", true);
    } else {
        info_.details.emplace_back("version",
                                   std::uint64_t{static_cast<std::uint32_t>(delta_->header().version)});
    }
    if (membership_) {
        info_.details.emplace_back("descriptor", membership_->descriptor_path);
        info_.details.emplace_back("uuid", membership_->uuid.text());
        info_.details.emplace_back("snapshots", std::uint64_t{membership_->descriptor.snapshots.size() - 1});
    }
}

std::optional<Refusal> Image::refusal(Capability capability) const {
    if (capability == Capability::check) {
        return std::nullopt;
    }
    if (capability == Capability::snapshot) {
        return Refusal{Reason::capability_missing,
                       fmt::format("{}: snapshots of ploop disks are made by \"ploop snapshot\".", info_.path)};
    }
    if (membership_ && !membership_->is_top()) {
        return Refusal{
            Reason::internal_snapshots,
            fmt::format("{} holds the snapshot {} of {}, and what lies above it would be damaged by a change. "
                        "Name the disk: {}.",
                        info_.path, membership_->uuid.text(), membership_->descriptor_path,
                        membership_->descriptor_path)};
    }
    if (was_dirty_) {
        return Refusal{
            Reason::image_dirty,
            fmt::format("{} is marked as in use: a program writes to it, or was killed while it did. If none "
                        "does, \"ploop check -d {}\" repairs it.",
                        info_.path, info_.path)};
    }
    return std::nullopt;
}

void Image::plan_resize(Plan& plan, const ResizeRequest& request) {
    throw_refusal(refusal(request.new_size < info_.virtual_size ? Capability::shrink : Capability::grow));
    plan.add(resize_step(*this, request));
}

CompactEstimate Image::plan_compact(Plan& plan, const ExtentSet& discardable) {
    throw_refusal(refusal(Capability::compact));
    return plan_free(*this, &plan, discardable);
}

CompactEstimate Image::estimate_compact(const ExtentSet& discardable) {
    return plan_free(*this, nullptr, discardable);
}

void Image::plan_mend(Plan& plan) {
    if (opener_->access() == Access::write) {
        ploop::plan_mend(*this, plan, was_dirty_);
    }
}

bool Image::plan_merge_all(Plan& plan) {
    throw_refusal(refusal(Capability::merge_internal));
    if (!disk_ || !backing_) {
        return true; // one image: nothing to merge
    }
    // The merge opens the files of the chain by itself.
    auto merge = plan_snapshot_merge(*disk_, {.uuid = {}, .range_end = {}, .all = true, .new_file = ""});
    for (auto& step : merge.release_steps()) {
        plan.add(std::move(step));
    }
    return true;
}

CheckReport Image::check() {
    return check_delta(*this);
}

ExtentSet Image::own_extents(Range range) {
    ExtentSet own;
    if (raw()) {
        own.append(range); // its holes are zeros
        return own;
    }
    for (const HostExtent& extent : host_extents(range)) {
        own.append(extent.guest);
    }
    return own;
}

std::vector<HostExtent> Image::host_extents(Range range) {
    std::vector<HostExtent> result;
    const std::uint64_t unit = delta_->cluster_size();
    if (raw()) {
        for (const Extent& extent : device_->extents(range)) {
            if (extent.kind == ExtentKind::data) {
                result.push_back({extent.range, &delta_->file(), extent.range.offset});
            }
        }
        return result;
    }
    for (std::uint64_t offset = range.offset; offset < range.end();) {
        const std::uint64_t cluster = offset / unit;
        const std::uint64_t count = delta_->run(cluster, divide_up(range.end(), unit) - cluster);
        const std::uint64_t end = std::min(range.end(), (cluster + count) * unit);
        if (const auto place = delta_->place(cluster)) {
            result.push_back({{offset, end - offset}, &delta_->file(), *place + offset % unit});
        }
        offset = end;
    }
    return result;
}

Allocation Image::allocation() {
    if (raw()) { // a compact makes holes in it
        return info_.allocated >= info_.file_size ? Allocation::plain : Allocation::expanding;
    }
    return delta_->allocated_clusters() == delta_->clusters() ? Allocation::plain : Allocation::expanding;
}

std::unique_ptr<WorkingDisk> Image::begin_work(std::uint64_t size) {
    if (opener_->access() != Access::write) {
        throw Error(ErrorCode::unsupported, fmt::format("{} is open for reading only", info_.path));
    }
    throw_refusal(refusal(Capability::grow));
    reload();
    if (raw()) {
        return std::make_unique<RawWork>(*disk_, size, [this] {
            membership_->descriptor = disk_->descriptor;
            reload();
        });
    }
    return std::make_unique<Work>(
        doors(), *delta_, *device_, below(), size, [this](std::uint64_t sectors) { describe_size(sectors); },
        [this] {
            reload();
            try {
                give_back();
            } catch (const Error& error) {
                close_after_failure();
                log(LogLevel::warning,
                    fmt::format(
                        "{} has its new state, but not all of the space that the old one took could be given "
                        "back; the next run does: {}",
                        info_.path, error.what()));
            }
        });
}

void Image::describe_size(std::uint64_t disk_sectors) {
    if (disk_) {
        store_size(*disk_, disk_sectors);
        membership_->descriptor = disk_->descriptor;
    }
}

void Image::call_expanded() {
    if (!disk_ || disk_->descriptor.mode != DiskMode::preallocated) {
        return;
    }
    Descriptor changed = disk_->descriptor;
    changed.modernise();
    changed.mode = DiskMode::expanded;
    changed.store(doors().files, disk_->path());
    disk_->descriptor = changed;
    membership_->descriptor = changed;
}

/// Every entry of the BAT is a good one at any moment: only the mark is left. Where that fails too, the job's
/// record stays and the next run does it.
void Image::close_after_failure() {
    reload();
    if (was_dirty_) {
        delta_->begin();
        delta_->end();
        reload();
    }
}

std::uint64_t Image::give_back() {
    const std::uint64_t before = delta_->file().status().allocated;
    delta_->begin();
    delta_->compact();
    delta_->end();
    reload();
    return before - std::min(before, info_.allocated);
}

} // namespace disktool::ploop
