// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk_verbs.h"

#include "balloon_at_rest.h"
#include "core_disk.h"
#include "header.h"
#include "verb/compact.h"
#include "verb/disk_info.h"
#include "verb/resize.h"
#include "verb/survey.h"
#include "verb/work_steps.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool::ploop::cli {

namespace {

void show_sizes(const Options& options, CoreDisk& disk) {
    VerbContext context = disk.context();
    const CompactInfo info = compact_info(context);
    const ImageInfo& image = disk.info();
    std::uint64_t file = 0;
    for (const ChainMember& member : image.chain) {
        file += member.allocated;
    }
    // No balloon: a disk at rest has none that is inflated for it.
    options.output->result(
        fmt::format("Balloon size: {:8}MB\nData size:    {:8}MB\nPloop size:   {:8}MB\nImage size:   "
                    "{:8}MB\n",
                    0, info.used / MiB, image.virtual_size / MiB, file / MiB));
    options.output->json()["sizes"] = {
        {"balloon", 0}, {"data", info.used}, {"disk", image.virtual_size}, {"images", file}};
}

/// A balloon is for the size that the disk had: it would keep the room of a larger one, and stands in the way
/// of a smaller one.
void deflate_balloon(const Options& options, CoreDisk& disk) {
    Image& image = disk.session().image();
    DiskSurvey survey = survey_disk(image.device(), disk.session().registry(), {});
    for (const Content& content : survey.contents) {
        if (!content.type.starts_with("ext") || !content.filesystem || content.problem) {
            continue;
        }
        const std::optional<BalloonAtRest> balloon = balloon_at_rest(*content.window);
        if (!balloon) {
            continue;
        }
        Plan plan("resize", disk.session().path());
        WorkSpec work{image.info().virtual_size, {}};
        if (content.partition != 0) {
            work.windows.push_back({content.partition, content.range});
        }
        plan.set_work(std::move(work));
        plan.add(deflate_at_rest_step(content.partition, *balloon));
        plan.add(make_verify_step(disk.session().registry(),
                                  {image.info().virtual_size, content.partition, content.range, content.type}));
        WorkCommit commit;
        commit.size = image.info().virtual_size;
        commit.reserve = image.allocation() == Allocation::plain;
        plan.add(make_commit_step(commit, "a disk with an empty balloon"));
        disk.carry_out(plan);
        if (!options.dry_run) {
            options.output->say(fmt::format("The balloon of {} bytes is empty now", balloon->allocated));
        }
        return;
    }
}

} // namespace

int resize_disk(const Options& options, const std::string& xml, std::uint64_t sectors) {
    if (sectors > UINT64_MAX / sector_size) {
        throw ParameterError(fmt::format("{} sectors are more than a disk can have", sectors));
    }
    try {
        CoreDisk disk(options, xml, Access::write);
        const std::uint64_t cluster = disk.info().cluster_size;
        if (sectors * sector_size <= 4 * cluster) {
            throw ParameterError(fmt::format(
                "Unable to change image size to {} sectors: it must have more than 4 clusters of {}", sectors,
                size_text(cluster)));
        }
        if (disk.info().dirty && options.dry_run) {
            const std::string note = fmt::format(
                "{} is marked as in use. If no program writes to it, a run without --dry-run closes "
                "it, and then finds out what is to be done",
                disk.session().path());
            options.output->result("Note: " + note + "\n");
            options.output->json()["dry_run"] = true;
            options.output->json()["note"] = note;
            return 0;
        }
        if (disk.info().dirty) {
            disk.mend();
        }
        deflate_balloon(options, disk);
        VerbContext context = disk.context();
        ResizePlan resize =
            disktool::plan_resize(context, {.new_size = sectors * sector_size, .resize_partition = true});
        disk.carry_out(resize.plan);
        if (!options.dry_run) {
            options.output->say(fmt::format("{}: {} -> {}", xml, exact_size_text(resize.old_size),
                                            exact_size_text(resize.new_size)));
        }
        options.output->json()["old_sectors"] = resize.old_size / sector_size;
        options.output->json()["new_sectors"] = resize.new_size / sector_size;
        return 0;
    } catch (const PloopError&) {
        throw;
    } catch (const Error& error) {
        throw in_words_of_resize(error);
    }
}

int discard_disk(const Options& options, const std::string& xml, const DiscardOptions& request) {
    CoreDisk disk(options, xml, request.stat ? Access::read : Access::write);
    if (request.stat) {
        show_sizes(options, disk);
        return 0;
    }
    const ImageInfo& info = disk.info();
    const std::uint64_t cluster = info.cluster_size;
    if (request.to_free_sectors != 0 && request.to_free_sectors * sector_size < cluster) {
        throw ParameterError(fmt::format("--to-free is less than a cluster of {}", size_text(cluster)));
    }
    if (request.defrag) {
        options.output->say(
            "note: files are moved only in a mounted file system, so --defrag changes nothing here");
    }
    VerbContext context = disk.context();
    CompactPlan compact =
        disktool::plan_compact(context, {.smallest = round_up(request.min_block_sectors * sector_size, cluster),
                                         .enough = request.to_free_sectors * sector_size});
    const auto size_now = [&] {
        const ImageInfo& now = disk.info();
        return disk.raw() ? now.allocated : now.file_size;
    };
    const std::uint64_t before = size_now();
    const JobReport report = disk.carry_out(compact.plan);
    if (options.dry_run) {
        return 0;
    }
    const std::uint64_t after = size_now();
    const std::uint64_t cut = before - std::min(before, after);
    options.output->say(disk.raw()
                            ? fmt::format("PUNCHED: {} cluster-blocks ({} bytes)", cut / cluster, cut)
                            : fmt::format("TRUNCATED: {} cluster-blocks ({} bytes)", cut / cluster, cut));
    const auto discarded = report.figures.find("clusters_discarded");
    options.output->say(
        fmt::format("{} clusters have been freed", discarded == report.figures.end() ? 0 : discarded->second));
    options.output->json()["bytes_cut"] = cut;
    return 0;
}

} // namespace disktool::ploop::cli
