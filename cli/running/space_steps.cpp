// SPDX-License-Identifier: LGPL-2.1-or-later
// A running disk gives back what its file system does not use.
#include "filesystem_program.h"
#include "online_steps.h"

#include <disktool/error.h>
#include <disktool/last_words.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace disktool::ploop::cli {

namespace {

class Defragment final : public Step {
  public:
    Defragment(RunningFilesystem& filesystem, std::uint64_t cluster)
        : filesystem_(filesystem), cluster_(cluster) {}
    std::string kind() const override { return "ploop.defragment"; }
    std::string text() const override {
        return fmt::format("put the files {} together ({})", filesystem_.place(), program(real_doors()));
    }
    void commit(StepContext& context) override {
        const std::string name = program(context.doors());
        if (name.empty() || !has_program(context.doors(), name)) {
            filesystem_.say(
                fmt::format("note: the files are not put together first, as this host has no program for {}{}",
                            filesystem_.type, name.empty() ? "" : " (" + name + ")"));
            return;
        }
        const CommandResult result = run_program(context, filesystem_, name, arguments(name));
        if (!result.ok()) {
            context.warn(fmt::format("{} did not put all files together: {}", name, last_words(result)));
        }
    }
    std::string needs_no_undo() const override { return "files keep their content wherever they lie"; }

  private:
    /// Empty: there is none for the type.
    std::string program(Doors doors) const {
        if (filesystem_.is_ext()) {
            return has_program(doors, "e4defrag2") ? "e4defrag2" : "e4defrag"; // the first is OpenVZ's own
        }
        return filesystem_.type == "xfs" ? "xfs_fsr" : filesystem_.type == "btrfs" ? "btrfs" : "";
    }
    std::vector<std::string> arguments(const std::string& name) const {
        if (name == "e4defrag2") {
            return {"-c", std::to_string(cluster_), filesystem_.node, filesystem_.mount_point};
        }
        if (name == "btrfs") {
            return {"filesystem", "defragment", "-r", filesystem_.mount_point};
        }
        return {filesystem_.mount_point};
    }

    RunningFilesystem& filesystem_;
    std::uint64_t cluster_;
};

class Trim final : public Step {
  public:
    Trim(RunningFilesystem& filesystem, const TrimStepOptions& options)
        : filesystem_(filesystem), options_(options) {}
    std::string kind() const override { return "ploop.trim"; }
    std::string text() const override {
        return fmt::format("give free space of the {} {} back to the image (FITRIM), pieces of {} or more{}",
                           filesystem_.type, filesystem_.place(),
                           size_text(std::max(options_.smallest, options_.cluster)),
                           options_.enough == 0 ? "" : ", until " + size_text(options_.enough) + " are freed");
    }
    Cost cost() const override {
        Cost cost;
        cost.discarded = device_size(filesystem_.node);
        return cost;
    }
    void commit(StepContext& context) override {
        const std::uint64_t before = free_bytes();
        const std::uint64_t all = cost().work();
        std::uint64_t shown = 0;
        const auto watch = [&](std::uint64_t done, std::uint64_t total) {
            const auto now =
                static_cast<std::uint64_t>(static_cast<long double>(all) * static_cast<long double>(done) /
                                           static_cast<long double>(std::max<std::uint64_t>(total, 1)));
            context.advance(now - std::min(now, shown));
            shown = std::max(now, shown);
            return options_.enough != 0 && freed_since(before) >= options_.enough;
        };
        try {
            trim_filesystem({filesystem_.mount_point, filesystem_.type, options_.cluster, options_.smallest,
                             options_.enough},
                            context.cancel(), watch);
        } catch (const Error& error) {
            if (error.code() != ErrorCode::unsupported || !options_.if_possible) {
                throw;
            }
            filesystem_.say(fmt::format("note: {}", error.what()));
            return;
        }
        context.report("clusters_freed", freed_since(before) / options_.cluster);
    }
    std::string needs_no_undo() const override { return "nothing but free space is given back"; }

  private:
    /// Of the image's file: what it holds and does not use, or, of a raw one, does not hold.
    std::uint64_t free_bytes() {
        // A cluster is free once it is written that it is.
        real_doors().files.open(filesystem_.device.node, {})->sync();
        if (options_.raw) {
            const std::optional<FileStatus> image =
                real_doors().files.status(filesystem_.device.images.back().path);
            return image ? image->size - std::min(image->size, image->allocated) : last_free_;
        }
        const ControlMessage status = filesystem_.ask("status");
        // While another verb is at work there is no such number.
        if (const auto clusters = status.find("free_clusters"); clusters != status.end()) {
            last_free_ = clusters->get<std::uint64_t>() * options_.cluster;
        }
        return last_free_;
    }
    std::uint64_t freed_since(std::uint64_t before) {
        const std::uint64_t now = free_bytes();
        return now - std::min(now, before);
    }

    RunningFilesystem& filesystem_;
    TrimStepOptions options_;
    std::uint64_t last_free_ = 0;
};

class Compact final : public Step {
  public:
    Compact(RunningFilesystem& filesystem, std::uint64_t cluster)
        : filesystem_(filesystem), cluster_(cluster) {}
    std::string kind() const override { return "ploop.compact"; }
    std::string text() const override {
        return fmt::format("move clusters from the end of {} into its holes, and cut the file",
                           filesystem_.device.images.back().path);
    }
    void commit(StepContext& context) override {
        const ControlMessage done = filesystem_.ask("compact");
        const std::uint64_t cut = done.at("bytes_cut").get<std::uint64_t>();
        context.report("bytes_cut", cut);
        context.report("clusters_moved", done.at("clusters_moved").get<std::uint64_t>());
        filesystem_.say(fmt::format("TRUNCATED: {} cluster-blocks ({} bytes)", cut / cluster_, cut));
    }
    std::string needs_no_undo() const override {
        return "a cluster is moved in such an order that the image is whole at every moment";
    }

  private:
    RunningFilesystem& filesystem_;
    std::uint64_t cluster_;
};

} // namespace

std::unique_ptr<Step> defragment_step(RunningFilesystem& filesystem, std::uint64_t cluster) {
    return std::make_unique<Defragment>(filesystem, cluster);
}

std::unique_ptr<Step> trim_step(RunningFilesystem& filesystem, const TrimStepOptions& options) {
    return std::make_unique<Trim>(filesystem, options);
}

std::unique_ptr<Step> compact_step(RunningFilesystem& filesystem, std::uint64_t cluster) {
    return std::make_unique<Compact>(filesystem, cluster);
}

} // namespace disktool::ploop::cli
