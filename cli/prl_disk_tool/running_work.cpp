// SPDX-License-Identifier: LGPL-2.1-or-later
// resize, compact and merge of a disk that runs: the same code as of ploop's commands, in this program's words.
#include "ask_device.h"
#include "running.h"
#include "running_verbs.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <chrono>
#include <functional>

namespace disktool::cli {

namespace {

using ploop::cli::RunningFilesystem;

constexpr std::uint64_t sector = 512;
constexpr int usual_verbosity = 3;
constexpr int silent = -2;

/// What the shared code calls a wrong word of ploop's command line is here a thing that this disk cannot do
/// now.
void in_our_words(const std::function<void()>& work) {
    try {
        work();
    } catch (const Error& error) {
        if (error.code() != ErrorCode::usage) {
            throw;
        }
        throw Error(ErrorCode::unsupported, error.what(), Reason::capability_missing);
    }
}

/// The same, when another command that works on the device has ended, as long as we are to wait for that. Who
/// does not get his turn has changed nothing.
void in_turn(Run& run, const std::function<void()>& work) {
    using Clock = std::chrono::steady_clock;
    const auto patience = run.patience();
    const Clock::time_point end = patience && patience->count() == 0
                                      ? Clock::time_point::max()
                                      : Clock::now() + patience.value_or(std::chrono::seconds(0));
    ploop::cli::until_unlocked(end, &run.cancel(), [&] { in_our_words(work); });
}

void refuse_appliance(const Run& run, const RunningFilesystem& filesystem) {
    if (run.arguments().engine == Engine::appliance) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("{} runs as {}, and an appliance cannot open it beside that: leave --engine "
                                "out, or unmount it first, with \"ploop umount -d {}\"",
                                run.arguments().image, filesystem.device.node, filesystem.device.node),
                    Reason::image_in_use);
    }
}

std::string unmount_hint(const RunningFilesystem& filesystem) {
    return fmt::format("unmount the disk first, with \"ploop umount -d {}\"", filesystem.device.node);
}

void refuse_options(const Run& run, const RunningFilesystem& filesystem) {
    const Arguments& arguments = run.arguments();
    if (arguments.discard_tail) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("{} runs as {}, and nothing is cut off a disk that runs: leave --discard-tail "
                                "out, or {}",
                                arguments.image, filesystem.device.node, unmount_hint(filesystem)),
                    Reason::capability_missing);
    }
    if (arguments.partition != 0 && arguments.partition != filesystem.partition) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("{} runs as {}, and what can follow a disk that runs is {}, not its partition "
                                "{}: {}",
                                arguments.image, filesystem.device.node,
                                filesystem.partition == 0 ? "the file system on all of it"
                                                          : fmt::format("partition {}", filesystem.partition),
                                arguments.partition, unmount_hint(filesystem)),
                    Reason::capability_missing);
    }
}

std::uint64_t held_by(const DeviceState& device) {
    return real_doors().files.status(device.images.back().path).value_or(FileStatus{}).allocated;
}

} // namespace

DeviceWork::DeviceWork(Run& run)
    : run_(run), output_(run.arguments().verb,
                         run.arguments().quiet && !run.arguments().dry_run ? silent : usual_verbosity,
                         run.arguments().json) {
    options_.command = run.arguments().verb;
    options_.dry_run = run.arguments().dry_run;
    options_.progress_descriptor = run.arguments().progress_descriptor;
    options_.output = &output_;
    options_.cancel = &run.cancel();
    options_.show_plan = run.arguments().verbose && !run.arguments().dry_run;
}

RunningFilesystem DeviceWork::filesystem(const DeviceState& device) {
    RunningFilesystem found = ploop::cli::running_filesystem(options_, device);
    refuse_appliance(run_, found);
    return found;
}

void DeviceWork::finish() {
    Json& ours = run_.json();
    Json& theirs = output_.json();
    if (theirs.contains("plan")) {
        ours["plan"] = theirs["plan"];
    }
    for (const auto& [from, to] : {std::pair{"old_sectors", "old_size"}, {"new_sectors", "new_size"}}) {
        if (theirs.contains(from)) {
            ours[to] = theirs[from].get<std::uint64_t>() * sector;
        }
    }
    for (const Json& warning : output_.warnings()) {
        run_.warned(warning.get<std::string>());
    }
    if (options_.dry_run) {
        ours["dry_run"] = true;
        return;
    }
    const auto passed = std::chrono::steady_clock::now() - start_;
    const bool changed = theirs.contains("plan") && !theirs["plan"]["steps"].empty();
    ours["result"] = {{"changed", changed},
                      {"milliseconds", std::chrono::duration_cast<std::chrono::milliseconds>(passed).count()},
                      {"figures", theirs.value("figures", Json::object())}};
    ours["messages"] = output_.messages();
}

void resize_on_device(Run& run, const DeviceState& device) {
    const Arguments& arguments = run.arguments();
    DeviceWork work(run);
    RunningFilesystem filesystem = work.filesystem(device);
    refuse_options(run, filesystem);
    describe_device(run, filesystem);
    in_turn(run, [&] { ploop::cli::resize_running(work.options(), filesystem, arguments.size / sector); });
    if (!arguments.resize_partition && !arguments.dry_run) {
        run.say(fmt::format("note: {} runs as {}, so its partition and file system follow, as if "
                            "--resize_partition had been given",
                            arguments.image, device.node));
    }
    work.finish();
}

void compact_on_device(Run& run, const DeviceState& device) {
    const Arguments& arguments = run.arguments();
    DeviceWork work(run);
    RunningFilesystem filesystem = work.filesystem(device);
    describe_device(run, filesystem);
    if (!filesystem.mounted()) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("{} runs as {}, but its file system is not mounted, so nobody tells what of it "
                                "is free: mount {}, or {}, and compact it at rest",
                                arguments.image, device.node, filesystem.node, unmount_hint(filesystem)),
                    Reason::capability_missing);
    }
    const std::uint64_t before = held_by(device);
    in_turn(run, [&] { ploop::cli::discard_running(work.options(), filesystem, {}); });
    work.finish();
    if (arguments.dry_run) {
        return;
    }
    const std::uint64_t after = held_by(device);
    const std::uint64_t freed = before - std::min(before, after);
    Json& result = run.json()["result"];
    result["allocated_before"] = before;
    result["allocated_after"] = after;
    result["freed"] = freed;
    run.say(fmt::format("{}: {} given back to the host ({} -> {}) while it runs as {}", arguments.image,
                        size_text(freed), size_text(before), size_text(after), device.node));
}

void merge_on_device(Run& run, const DeviceState& device) {
    const Arguments& arguments = run.arguments();
    DeviceWork work(run);
    RunningFilesystem filesystem = work.filesystem(device);
    describe_device(run, filesystem);
    if (arguments.external) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("{} runs as {}: without --external all its snapshots are merged while it runs; "
                                "for anything else {}",
                                arguments.image, device.node, unmount_hint(filesystem)),
                    Reason::capability_missing);
    }
    const std::size_t count = device.images.size() - 1;
    in_turn(run, [&] { ploop::cli::merge_running(work.options(), filesystem); });
    work.finish();
    if (!arguments.dry_run) {
        run.say(count == 0 ? fmt::format("{} has no snapshots: nothing to do", arguments.image)
                           : fmt::format("{}: {} snapshot{} merged while it runs as {}; the disk is as it was",
                                         arguments.image, count, count > 1 ? "s" : "", device.node));
    }
}

} // namespace disktool::cli
