// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk_verbs.h"

#include "command.h"
#include "common/progress_display.h"
#include "config/config.h"
#include "engine/appliance_loader.h"
#include "image/session.h"
#include "plan/job.h"
#include "plan/plan_text.h"
#include "verb/compact.h"
#include "verb/disk_info.h"
#include "verb/resize.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool::ploop::cli {

namespace {

/// A disk as the verbs of the core see it: opened, locked, and put right after an interrupted run.
class CoreDisk {
  public:
    CoreDisk(const Options& options, const std::string& xml, Access access)
        : options_(options), config_(load_config()), registry_(plugin_search_path(config_.plugin_path)) {
        const Descriptor descriptor = Descriptor::load(real_doors().files, xml);
        raw_ = descriptor.image(descriptor.top)->raw;
        OpenOptions request;
        request.access = options.dry_run ? Access::read : access;
        request.wait = std::chrono::seconds(60);
        request.allow_backing = options.allowed;
        request.cancel = options.cancel;
        session_ = Session::open(real_doors(), registry_, xml, request);
        if (const auto found = recover_job(*session_, {.cancel = options.cancel},
                                           access == Access::write && !options.dry_run)) {
            options.output->warn(*found);
        }
    }

    Session& session() { return *session_; }
    bool raw() const { return raw_; } ///< the image that is written to
    bool dirty() const { return session_->image().info().dirty; }

    /// Whoever had it in use is gone: we have its locks, no device has it, and its BAT was read and is sound.
    void mend() {
        Plan plan("resize", session_->path());
        session_->image().plan_mend(plan);
        JobOptions job;
        job.cancel = options_.cancel;
        run_job(*session_, plan, job);
        options_.output->say(fmt::format("{} was left in use, and is closed now", session_->path()));
    }
    VerbContext context() {
        return {*session_, config_.engine, options_.cancel,
                [this] { return load_appliance(config_.appliance); }};
    }

    /// Or prints it.
    JobReport carry_out(Plan& plan) {
        Output& output = *options_.output;
        output.json()["dry_run"] = options_.dry_run;
        output.json()["plan"] = plan_json(plan);
        if (options_.dry_run) {
            output.result(plan_text(plan));
            return {};
        }
        disktool::cli::ProgressDisplay progress(
            {.quiet = output.silent(), .json_descriptor = options_.progress_descriptor.value_or(-1)});
        JobOptions job;
        job.progress = &progress;
        job.cancel = options_.cancel;
        job.appliance = [this] { return load_appliance(config_.appliance); };
        JobReport report = run_job(*session_, plan, job);
        for (const std::string& note : plan.notes()) {
            output.say("note: " + note);
        }
        for (const std::string& warning : report.warnings) {
            output.warn(warning);
        }
        output.json()["figures"] = report.figures;
        return report;
    }

  private:
    const Options& options_;
    Config config_;
    Registry registry_;
    bool raw_ = false;
    std::unique_ptr<Session> session_;
};

/// The code that scripts know for what went wrong.
PloopError in_ploops_words(const Error& error) {
    switch (error.code()) {
    case ErrorCode::size_impossible:
    case ErrorCode::unsupported:
        return {Exit::invalid_parameter, error.code(), error.what(), error.reason()};
    case ErrorCode::damaged:
        return {Exit::fsck, error.code(), error.what(), error.reason()};
    case ErrorCode::program_missing:
    case ErrorCode::failure:
        return {Exit::resize_filesystem, error.code(), error.what(), error.reason()};
    default:
        return {static_cast<Exit>(exit_code_of(error)), error.code(), error.what(), error.reason()};
    }
}

void show_sizes(const Options& options, CoreDisk& disk) {
    VerbContext context = disk.context();
    const CompactInfo info = compact_info(context);
    const ImageInfo& image = disk.session().image().info();
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

} // namespace

int resize_disk(const Options& options, const std::string& xml, std::uint64_t sectors) {
    if (sectors > UINT64_MAX / sector_size) {
        throw ParameterError(fmt::format("{} sectors are more than a disk can have", sectors));
    }
    try {
        CoreDisk disk(options, xml, Access::write);
        const std::uint64_t cluster = disk.session().image().info().cluster_size;
        if (sectors * sector_size <= 4 * cluster) {
            throw ParameterError(fmt::format(
                "Unable to change image size to {} sectors: it must have more than 4 clusters of {}", sectors,
                size_text(cluster)));
        }
        if (disk.dirty() && options.dry_run) {
            const std::string note = fmt::format(
                "{} is marked as in use. If no program writes to it, a run without --dry-run closes "
                "it, and then finds out what is to be done",
                disk.session().path());
            options.output->result("Note: " + note + "\n");
            options.output->json()["dry_run"] = true;
            options.output->json()["note"] = note;
            return 0;
        }
        if (disk.dirty()) {
            disk.mend();
        }
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
        throw in_ploops_words(error);
    }
}

int discard_disk(const Options& options, const std::string& xml, const DiscardOptions& request) {
    CoreDisk disk(options, xml, request.stat ? Access::read : Access::write);
    if (request.stat) {
        show_sizes(options, disk);
        return 0;
    }
    const ImageInfo& info = disk.session().image().info();
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
        const ImageInfo& now = disk.session().image().info();
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
