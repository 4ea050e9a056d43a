// SPDX-License-Identifier: GPL-2.0-or-later
#include "resize.h"

#include "boot_sector.h"

#include <disktool/error.h>
#include <disktool/size.h>
#include <disktool/workbench.h>

#include <fmt/format.h>

#include <memory>
#include <sstream>
#include <utility>

namespace disktool::ntfs {

namespace {

/// 2^32 - 1 clusters, what Windows makes at most.
constexpr std::uint64_t cluster_limit = (std::uint64_t{1} << 32) - 1;

/// From 2013.1.13 on it moves $MFT and lets run lists grow beyond their record.
const Workbench::Tool ntfsresize{"ntfsresize", "2013.1.13", "ntfs-3g"};

/// The lines that say what is wrong: those with ERROR or "check failed", else the last one.
std::string own_words(const CommandResult& result) {
    std::istringstream lines(result.output + "\n" + result.errors);
    std::string errors;
    std::string last;
    for (std::string line; std::getline(lines, line);) {
        if (line.find_first_not_of(" \t\r") == std::string::npos)
            continue;
        last = line;
        if (line.find("ERROR") != std::string::npos || line.find("check failed") != std::string::npos)
            errors += errors.empty() ? line : "; " + line;
    }
    return errors.empty() ? last : errors;
}

void run(StepContext& context, const ResizeTask& task, std::vector<std::string> options, const char* action) {
    Workbench& bench = context.workbench();
    Command command;
    command.arguments = {"ntfsresize"};
    command.arguments.insert(command.arguments.end(), options.begin(), options.end());
    command.arguments.insert(
        command.arguments.end(),
        {"--no-progress-bar", "--size", std::to_string(task.argument()), bench.path(task.partition)});
    command.cancel = &context.cancel();
    const CommandResult result = bench.run(ntfsresize, command);
    if (!result.ok())
        throw Error(
            ErrorCode::damaged,
            fmt::format("ntfsresize cannot {} the NTFS file system of {} (exit status {}): {}; the image is "
                        "as it was; let chkdsk /f in Windows look at it",
                        action, bench.window(task.partition).name(), result.exit_status, own_words(result)),
            Reason::filesystem_damaged);
}

Details details_of(const ResizeTask& task) {
    return {{"partition", std::uint64_t(task.partition)},
            {"old_bytes", task.old_size},
            {"new_bytes", task.new_size},
            {"clusters", task.clusters},
            {"program", std::string("ntfsresize")}};
}

} // namespace

void append_resize_steps(Plan& plan, const FilesystemResize& request, const ShrinkBounds& bounds,
                         const Volume& volume, const ExtentSet& free) {
    const std::optional<std::uint64_t> clusters = bounds.clusters_for(request.new_size);
    if (!clusters || *clusters > cluster_limit)
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{}: NTFS with clusters of {} cannot be made {} large", volume.device().name(),
                                size_text(bounds.cluster_size), exact_size_text(request.new_size)),
                    clusters ? Reason::size_too_large : Reason::below_minimum);
    // ntfsresize leaves out a whole cluster for the backup boot sector, mkntfs and Windows only a sector.
    const std::uint64_t present = bounds.clusters * bounds.cluster_size + volume.boot().sector_size();
    if (*clusters == bounds.clusters || (*clusters + 1 == bounds.clusters && present <= request.new_size)) {
        plan.note("the NTFS file system has that size already, to the cluster");
        return;
    }
    ResizeTask task;
    task.partition = request.partition;
    task.old_size = request.old_size;
    task.new_size = request.new_size;
    task.clusters = *clusters;
    task.cluster_size = bounds.cluster_size;
    task.sector_size = volume.boot().sector_size();

    const std::uint64_t mft = volume.mft().data_size;
    const std::uint64_t map = divide_up(*clusters, 8);
    const std::uint64_t end = *clusters * bounds.cluster_size;
    std::uint64_t moved = 0;
    if (*clusters < bounds.clusters) {
        const Range cut{end, (bounds.clusters - *clusters) * bounds.cluster_size};
        moved = cut.length - free.clip(cut).total();
    }
    const AttributeData journal = volume.need(log_file, AttributeType::data);
    task.check.read = 2 * mft + divide_up(bounds.clusters, 8);
    task.resize.read = 3 * mft + divide_up(bounds.clusters, 8) + moved;
    task.resize.written = moved + map + journal.size() + 2 * MiB;
    task.resize.space = task.resize.written;
    plan.add(std::make_unique<CheckStep>(task));
    plan.add(std::make_unique<ResizeStep>(task));
}

std::string CheckStep::text() const {
    return fmt::format("check the NTFS file system of partition {} and rehearse its resize (ntfsresize)",
                       task_.partition);
}

Details CheckStep::details() const {
    return details_of(task_);
}

void CheckStep::commit(StepContext& context) {
    run(context, task_, {"--no-action"}, "check");
    context.advance(task_.check.work());
}

std::string ResizeStep::text() const {
    return fmt::format("{} the NTFS file system of partition {} from {} to {} (ntfsresize)",
                       task_.new_size < task_.old_size ? "shrink" : "grow", task_.partition,
                       size_text(task_.old_size), size_text(task_.new_size));
}

Details ResizeStep::details() const {
    return details_of(task_);
}

void ResizeStep::commit(StepContext& context) {
    // Once: answers its question. A second one would let it work on a dirty volume, too.
    run(context, task_, {"--force"}, "resize");
    BlockDevice& window = context.workbench().window(task_.partition);
    verify_and_finish(window);
    context.warn(
        fmt::format("Windows will check the NTFS file system of {} (chkdsk) at its next start, as it should "
                    "after a resize; until then it counts as not clean",
                    window.name()));
    context.advance(task_.resize.work());
}

void ResizeStep::verify_and_finish(BlockDevice& window) const {
    const std::optional<BootSector> boot = BootSector::read(window);
    if (!boot || !boot->defect().empty() || boot->clusters() != task_.clusters)
        throw Error(
            ErrorCode::damaged,
            fmt::format("{}: ntfsresize has said that it resized the NTFS file system to {} clusters, but its "
                        "boot sector says {}; the image is as it was",
                        window.name(), task_.clusters, boot ? boot->clusters() : 0),
            Reason::filesystem_damaged);
    // Behind the last cluster, where NTFS looks for it, and in the last sector of the partition, where Windows
    // puts it and rescue programs look. Both lie in the cluster that ntfsresize left out.
    std::vector<std::byte> sector(task_.sector_size);
    window.read(0, sector);
    window.write(boot->sectors() * task_.sector_size, sector);
    window.write(round_down(task_.new_size, task_.sector_size) - task_.sector_size, sector);
    window.flush();
}

} // namespace disktool::ntfs
