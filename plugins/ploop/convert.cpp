// SPDX-License-Identifier: LGPL-2.1-or-later
// Another mode: expanded, preallocated, raw.
#include "layered_device.h"
#include "left_over.h"
#include "new_names.h"
#include "operations.h"
#include "work.h"

#include <disktool/bytes.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace disktool::ploop {

namespace {

constexpr std::uint64_t copy_piece = 4 * MiB;

PloopError invalid(const std::string& sentence, Reason reason = Reason::none) {
    return {Exit::invalid_parameter, ErrorCode::unsupported, sentence, reason};
}

std::string_view name_of(DiskMode mode) {
    return mode == DiskMode::raw ? "raw" : mode == DiskMode::preallocated ? "preallocated" : "expanded";
}

void store_mode(PloopDisk& disk, DiskMode mode) {
    Descriptor changed = disk.descriptor;
    changed.modernise();
    changed.mode = mode;
    disk.say("Storing " + disk.path());
    changed.store(disk.doors().files, disk.path());
    disk.descriptor = std::move(changed);
}

/// Raw to ploop1 and back: a new file beside the old one, which takes its place.
class RewriteStep final : public Step {
  public:
    RewriteStep(PloopDisk& disk, DiskMode mode) : disk_(disk), mode_(mode) {
        const auto chain = disk.open_chain(disk.descriptor.top, Access::read);
        size_ = chain->size();
        for (const Extent& extent : chain->extents({0, size_})) {
            data_ += extent.kind == ExtentKind::data ? extent.range.length : 0;
        }
    }

    std::string kind() const override { return "ploop.convert"; }
    std::string text() const override {
        return fmt::format("write the disk of {} as a file of format {}, which takes the place of the old one",
                           image(), name_of(mode_));
    }
    Cost cost() const override {
        Cost cost;
        cost.read = data_;
        cost.written = mode_ == DiskMode::expanded ? data_ : size_;
        cost.space = cost.written;
        return cost;
    }
    std::string needs_no_undo() const override { return ""; }

    void commit(StepContext& context) override {
        FileDoor& files = context.doors().files;
        const std::string part = part_name(image());
        if (files.status(part, false)) {
            files.remove(part);
        }
        {
            const std::unique_ptr<ChainDevice> source = disk_.open_chain(disk_.descriptor.top, Access::read);
            const std::unique_ptr<File> file =
                files.open(part, {.write = true, .create = true, .exclusive = true});
            file->take_attributes(source->top().file());
            mode_ == DiskMode::raw ? write_raw(context, *source, *file) : write_ploop(context, *source, *file);
            file->sync();
            files.sync_directory(directory_of(part));
        }
        Descriptor changed = disk_.descriptor;
        changed.modernise();
        changed.mode = mode_;
        for (ImageEntry& entry : changed.images) {
            entry.raw = mode_ == DiskMode::raw;
        }
        switched_ = true;
        replace_image(disk_, changed);
    }

    void undo(StepContext& context) override {
        if (switched_) { // perhaps: the descriptor on the disk tells
            disk_.descriptor = Descriptor::load(context.doors().files, disk_.path());
            finish_replacing(disk_);
            return;
        }
        const std::string part = part_name(image());
        if (context.doors().files.status(part, false)) {
            context.doors().files.remove(part);
        }
    }

  private:
    std::string image() const { return disk_.file_of(disk_.descriptor.top); }

    template <typename Write>
    void copy(StepContext& context, ChainDevice& source, std::uint64_t unit, bool zeros_too, Write write) {
        std::vector<std::byte> buffer(std::max(unit, copy_piece));
        for (std::uint64_t at = 0; at < source.size();) {
            context.cancel().check();
            const auto part =
                std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), source.size() - at));
            source.read(at, part);
            for (std::uint64_t done = 0; done < part.size(); done += unit) {
                const auto cluster = part.subspan(done, std::min<std::uint64_t>(unit, part.size() - done));
                if (zeros_too || !all_zero(cluster)) {
                    write(at + done, cluster);
                }
            }
            context.advance(part.size());
            at += part.size();
        }
    }

    /// Zeros are written as well: the drivers for ploop want files without holes.
    void write_raw(StepContext& context, ChainDevice& source, File& file) {
        copy(context, source, copy_piece, true,
             [&](std::uint64_t at, std::span<const std::byte> data) { file.write(at, data); });
    }

    void write_ploop(StepContext& context, ChainDevice& source, File& file) {
        const std::uint32_t unit = disk_.descriptor.cluster_sectors;
        Delta::create(file, {round_up(source.size() / sector_size, unit), unit, Version::v2,
                             mode_ == DiskMode::preallocated});
        std::vector<std::unique_ptr<Delta>> deltas;
        deltas.push_back(Delta::open(
            context.doors().files.open(file.path(), {.write = true, .follow_links = false}), Access::write));
        ChainDevice target(std::move(deltas), file.path());
        target.begin();
        copy(context, source, unit * sector_size, false,
             [&](std::uint64_t at, std::span<const std::byte> data) { target.write(at, data); });
        target.end();
    }

    PloopDisk& disk_;
    DiskMode mode_;
    std::uint64_t size_ = 0;
    std::uint64_t data_ = 0;
    bool switched_ = false;
};

/// Every cluster gets a place in the file itself; they become the image's at one instant.
class PreallocateStep final : public Step {
  public:
    explicit PreallocateStep(PloopDisk& disk) : disk_(disk) {
        const auto delta = disk.open_delta(disk.descriptor.top, Access::read);
        missing_ = delta->clusters() - delta->allocated_clusters();
        cluster_size_ = delta->cluster_size();
    }
    std::string kind() const override { return "ploop.preallocate"; }
    std::string text() const override {
        return fmt::format("give the {} clusters of {} that have none a place in the file", missing_,
                           disk_.file_of(disk_.descriptor.top));
    }
    Cost cost() const override {
        Cost cost;
        cost.written = cost.space = missing_ * cluster_size_;
        return cost;
    }
    std::string needs_no_undo() const override { return {}; }
    void commit(StepContext& context) override {
        context.cancel().check();
        FileDoor& files = context.doors().files;
        // What a killed run has taken is cut off by the next one.
        DiskJob job;
        job.verb = "convert";
        job.changing.push_back(identify(files, disk_.file_of(disk_.descriptor.top)));
        write_job(files, disk_.path(), job);
        begun_ = true;
        const std::unique_ptr<Delta> delta = disk_.open_delta(disk_.descriptor.top, Access::write);
        LayeredDevice present(*delta, nullptr);
        Work work(context.doors(), *delta, present, nullptr, delta->disk_size(), [](std::uint64_t) {}, {});
        WorkCommit request;
        request.size = delta->disk_size();
        request.reserve = true;
        work.commit(request);
        context.advance(missing_ * cluster_size_);
        store_mode(disk_, DiskMode::preallocated);
        remove_job(files, disk_.path());
    }
    void undo(StepContext&) override {
        if (begun_) {
            recover_left_over(disk_);
        }
    }

  private:
    PloopDisk& disk_;
    bool begun_ = false;
    std::uint64_t missing_ = 0;
    std::uint64_t cluster_size_ = 0;
};

class DescribeStep final : public Step {
  public:
    DescribeStep(PloopDisk& disk, DiskMode mode) : disk_(disk), mode_(mode) {}
    std::string kind() const override { return "ploop.describe"; }
    std::string text() const override {
        return fmt::format("call the disk {} in {}", name_of(mode_), disk_.path());
    }
    std::string needs_no_undo() const override { return "the descriptor is the old or the new one"; }
    void commit(StepContext&) override { store_mode(disk_, mode_); }

  private:
    PloopDisk& disk_;
    DiskMode mode_;
};

} // namespace

Plan plan_convert_mode(PloopDisk& disk, DiskMode mode) {
    const Descriptor& now = disk.descriptor;
    Plan plan("convert", disk.path());
    if (mode == now.mode) {
        return plan;
    }
    const bool rewrites = mode == DiskMode::raw || now.mode == DiskMode::raw;
    if ((rewrites || mode == DiskMode::preallocated) && now.images.size() > 1) {
        throw invalid(fmt::format("{} has snapshots, and a disk of format {} has none: merge them first (ploop "
                                  "snapshot-merge -A {})",
                                  disk.path(), name_of(mode), disk.path()),
                      Reason::internal_snapshots);
    }
    if (rewrites) {
        plan.add(std::make_unique<RewriteStep>(disk, mode));
    } else if (mode == DiskMode::preallocated) {
        plan.add(std::make_unique<PreallocateStep>(disk));
    } else {
        plan.add(std::make_unique<DescribeStep>(disk, mode));
        plan.note("the clusters stay allocated; \"ploop balloon discard\" or \"prl_disk_tool compact\" gives "
                  "back those of "
                  "free space");
    }
    return plan;
}

} // namespace disktool::ploop
