// SPDX-License-Identifier: LGPL-2.1-or-later
#include "balloon_space.h"
#include "carry_out.h"
#include "errors.h"
#include "header.h"
#include "maintenance.h"
#include "node_device.h"
#include "online_steps.h"
#include "running_verbs.h"

#include <disktool/doors.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace disktool::ploop::cli {

namespace {

class SizeError : public PloopError {
  public:
    explicit SizeError(const std::string& message)
        : PloopError(Exit::invalid_parameter, ErrorCode::size_impossible, message) {}
};

/// What `wanted` bytes come to: whole clusters, more than four.
std::uint64_t rounded(std::uint64_t sectors, std::uint64_t cluster) {
    if (sectors > UINT64_MAX / sector_size - cluster / sector_size) {
        throw SizeError(fmt::format("{} sectors are more than a disk can have", sectors));
    }
    const std::uint64_t wanted = round_up(sectors * sector_size, cluster);
    if (wanted <= clusters_around * cluster) {
        throw SizeError(
            fmt::format("Unable to change image size to {} sectors: it must have more than 4 clusters of {}",
                        sectors, size_text(cluster)));
    }
    return wanted;
}

/// Where partition and file system will end, on a disk of that size.
class Growth {
  public:
    Growth(RunningFilesystem& filesystem, std::uint64_t wanted, std::uint64_t cluster) : wanted_(wanted) {
        NodeDevice disk(real_doors().files.open(filesystem.device.node, {}));
        table_ = read_partition_table(disk);
        const Partition* last = table_.last();
        if (table_.type == TableType::none) {
            follows = filesystem.partition == 0;
            return;
        }
        if (last == nullptr) {
            return;
        }
        follows = last->number == filesystem.partition;
        change_.disk_size = wanted;
        const std::uint64_t end = round_down(wanted - std::min(table_.tail, wanted), cluster);
        if (end > last->range.end()) {
            change_.partition = last->number;
            change_.partition_end = end;
        }
    }
    /// None: there is no table, or it is right already.
    std::optional<TableChange> change() const {
        if (table_.type == TableType::none || (change_.partition == 0 && table_.backup_at_end)) {
            return std::nullopt;
        }
        return change_;
    }
    bool follows = false; ///< the file system lies at the end

  private:
    std::uint64_t wanted_;
    PartitionTable table_;
    TableChange change_;
};

void plan_growth(Plan& plan, RunningFilesystem& filesystem, std::uint64_t wanted, std::uint64_t cluster) {
    const Growth growth(filesystem, wanted, cluster);
    if (wanted > device_size(filesystem.device.node)) {
        plan.add(grow_device_step(filesystem, wanted / sector_size));
    }
    if (const auto change = growth.change()) {
        plan.add(table_step(filesystem, *change));
    }
    const bool can = filesystem.is_ext() || filesystem.type == "xfs" || filesystem.type == "btrfs";
    if (!growth.follows || !can) {
        plan.note(
            growth.follows
                ? fmt::format("what lies on {} ({}) keeps its size: only ext, XFS and btrfs are made to follow",
                              filesystem.node, filesystem.type.empty() ? "nothing known" : filesystem.type)
                : fmt::format("{} keeps its size, as it does not lie at the end of the disk", filesystem.node));
        return;
    }
    plan.add(grow_filesystem_step(filesystem, wanted / sector_size));
}

void plan_balloon(Plan& plan, RunningFilesystem& filesystem, std::uint64_t sectors, std::uint64_t wanted,
                  const RunningImage& image) {
    const BalloonSpace space = balloon_space(filesystem);
    const std::uint64_t target = space.for_disk(wanted, image.cluster);
    const std::uint64_t smallest = space.smallest_disk(image.cluster);
    if (target > space.balloon && wanted < smallest) {
        throw SizeError(fmt::format("Unable to change image size to {} sectors, minimal size is {}", sectors,
                                    smallest / sector_size));
    }
    if (target > space.balloon) {
        plan_inflation(plan, filesystem, image, balloon_step(filesystem, target));
    } else {
        plan.add(balloon_step(filesystem, target));
    }
    plan.note("the disk and its file system keep their size: the balloon takes what is to be used no more");
}

void plan_offline_shrink(Plan& plan, RunningFilesystem& filesystem, std::uint64_t wanted,
                         const RunningImage& image) {
    if (!filesystem.is_ext()) {
        throw ParameterError(
            fmt::format("{} is not mounted, and holds no ext file system: mount it, and its balloon is "
                        "inflated; or unmount the device (ploop umount -d {}) and resize the disk",
                        filesystem.node, filesystem.device.node));
    }
    const std::uint64_t size = wanted - clusters_around * image.cluster;
    plan.add(check_filesystem_step(filesystem));
    plan.add(shrink_filesystem_step(filesystem, size));
    if (!image.raw && image.served) {
        plan.add(compact_step(filesystem, image.cluster));
    }
    plan.note("the disk keeps its size: only a disk at rest gets smaller itself");
}

/// A file system that is not mounted has its balloon, too, and it must not be in the way.
void deflate_unmounted(RunningFilesystem& filesystem, const Options& options) {
    if (options.dry_run || filesystem.mounted() || !filesystem.is_ext()) {
        return;
    }
    const TemporaryMount mount(filesystem);
    BalloonFile balloon(filesystem.mount_point);
    if (balloon.size() > 0) {
        options.output->say(fmt::format("Changing balloon size old_size={} new_size=0", balloon.size()));
        balloon.resize(0);
    }
}

int finish(const Options& options, RunningFilesystem& filesystem, Plan& plan, std::uint64_t old_size) {
    carry_out(options, plan);
    Output& output = *options.output;
    if (!options.dry_run) {
        for (const std::string& note : plan.notes()) {
            output.say("note: " + note);
        }
        const std::uint64_t new_size = device_size(filesystem.device.node);
        if (new_size != old_size) {
            output.say(fmt::format("{}: {} -> {}", filesystem.name(), exact_size_text(old_size),
                                   exact_size_text(new_size)));
        }
        output.json()["new_sectors"] = new_size / sector_size;
    }
    output.json()["old_sectors"] = old_size / sector_size;
    return 0;
}

std::optional<Maintenance> begin(const Options& options, const RunningFilesystem& filesystem,
                                 const char* what) {
    return options.dry_run ? std::nullopt : std::make_optional<Maintenance>(filesystem.device.minor, what);
}

} // namespace

int resize_running(const Options& options, RunningFilesystem& filesystem, std::uint64_t sectors) {
    filesystem.refuse_read_only();
    const RunningImage image = running_image(filesystem.device);
    const std::uint64_t wanted = rounded(sectors, image.cluster);
    const auto maintenance = begin(options, filesystem, "RESIZE");
    const std::uint64_t size = device_size(filesystem.device.node);
    Plan plan("resize", filesystem.name());
    if (wanted < size && filesystem.mounted()) {
        plan_balloon(plan, filesystem, sectors, wanted, image);
        return finish(options, filesystem, plan, size);
    }
    if (filesystem.mounted() && BalloonFile(filesystem.mount_point).size() > 0) {
        plan.add(balloon_step(filesystem, 0));
    }
    deflate_unmounted(filesystem, options);
    if (wanted < size) {
        plan_offline_shrink(plan, filesystem, wanted, image);
        return finish(options, filesystem, plan, size);
    }
    if (!filesystem.mounted() && filesystem.is_ext()) {
        plan.add(check_filesystem_step(filesystem));
    }
    plan_growth(plan, filesystem, wanted, image.cluster);
    return finish(options, filesystem, plan, size);
}

int inflate_running(const Options& options, RunningFilesystem& filesystem) {
    filesystem.refuse_read_only();
    if (!filesystem.mounted()) {
        throw ParameterError("The image is not mounted");
    }
    const RunningImage image = running_image(filesystem.device);
    const auto maintenance = begin(options, filesystem, "BALLOON");
    Plan plan("resize", filesystem.name());
    plan_inflation(plan, filesystem, image, largest_balloon_step(filesystem, image.cluster));
    return finish(options, filesystem, plan, device_size(filesystem.device.node));
}

} // namespace disktool::ploop::cli
