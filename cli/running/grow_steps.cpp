// SPDX-License-Identifier: LGPL-2.1-or-later
// A running disk gets larger: device, partition table, file system.
#include "errors.h"
#include "filesystem_program.h"
#include "node_device.h"
#include "online_steps.h"
#include "partition/live_change.h"

#include <disktool/error.h>
#include <disktool/last_words.h>

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace disktool::ploop::cli {

namespace {

using namespace std::chrono_literals;

/// With the lock (flock) by which udev leaves a device alone whose table is being changed. It has it itself for
/// the moment in which it looks at one.
std::unique_ptr<File> open_locked(FileDoor& files, const std::string& node) {
    constexpr auto pause = 50ms;
    std::unique_ptr<File> file = files.open(node, {.write = true});
    for (int tries = 200; !file->try_flock(LockMode::exclusive); --tries) {
        if (tries == 0) {
            throw Error(ErrorCode::locked, fmt::format("{} is locked by another program", node),
                        Reason::image_in_use);
        }
        std::this_thread::sleep_for(pause);
    }
    return file;
}

class GrowDevice final : public Step {
  public:
    GrowDevice(RunningFilesystem& filesystem, std::uint64_t sectors)
        : filesystem_(filesystem), sectors_(sectors) {}
    std::string kind() const override { return "ploop.grow-device"; }
    std::string text() const override {
        return fmt::format("grow {} and its image to {} sectors", filesystem_.device.node, sectors_);
    }
    Details details() const override { return {{"sectors", sectors_}}; }
    void commit(StepContext&) override { filesystem_.ask("grow", {{"sectors", sectors_}}); }
    std::string needs_no_undo() const override {
        return "the disk keeps its content; what is added at its end is used by the next resize";
    }

  private:
    RunningFilesystem& filesystem_;
    std::uint64_t sectors_;
};

class ChangeTable final : public Step {
  public:
    ChangeTable(RunningFilesystem& filesystem, const TableChange& change)
        : filesystem_(filesystem), change_(change) {}
    std::string kind() const override { return "ploop.partition-table"; }
    std::string text() const override {
        return change_.partition == 0
                   ? fmt::format("move the partition table of {} to its end", filesystem_.device.node)
                   : fmt::format("let partition {} of {} end at {}, and tell the kernel", change_.partition,
                                 filesystem_.device.node, change_.partition_end);
    }
    void commit(StepContext& context) override {
        try {
            NodeDevice disk(open_locked(context.doors().files, filesystem_.device.node), Access::write);
            change_table_in_place(disk, read_partition_table(disk), change_);
        } catch (const Error& error) {
            throw PloopError(
                Exit::change_table, error.code(),
                fmt::format("{}. The disk has its new size, but its partition table is the old one; "
                            "the same command tries again",
                            error.what()),
                error.reason());
        }
        filesystem_.ask("partitions");
    }
    std::string needs_no_undo() const override {
        return "each cut leaves a valid table, and the partition only becomes larger";
    }

  private:
    RunningFilesystem& filesystem_;
    TableChange change_;
};

class CheckFilesystem final : public Step {
  public:
    CheckFilesystem(RunningFilesystem& filesystem) : filesystem_(filesystem) {}
    std::string kind() const override { return "ploop.fsck"; }
    std::string text() const override {
        return fmt::format("check the {} on {} (e2fsck)", filesystem_.type, filesystem_.node);
    }
    void commit(StepContext& context) override {
        const CommandResult result =
            run_program(context, filesystem_, "e2fsck", {"-p", "-f", filesystem_.node});
        constexpr int mended = 1;
        constexpr std::size_t most_said = 3;
        if (result.exit_status > mended || result.timed_out) {
            throw PloopError(
                Exit::fsck, ErrorCode::damaged,
                fmt::format("The file system on {} must be repaired first: e2fsck -f {} (its status is "
                            "{}: {})",
                            filesystem_.node, filesystem_.node, result.exit_status,
                            last_words(result, most_said)),
                Reason::filesystem_damaged);
        }
    }
    std::string needs_no_undo() const override { return "it mends what can be mended without a question"; }

  private:
    RunningFilesystem& filesystem_;
};

class GrowFilesystem final : public Step {
  public:
    GrowFilesystem(RunningFilesystem& filesystem, std::uint64_t wanted_sectors)
        : filesystem_(filesystem), wanted_sectors_(wanted_sectors) {}
    std::string kind() const override { return "ploop.grow-filesystem"; }
    std::string text() const override {
        return fmt::format("grow the {} {} to its partition ({})", filesystem_.type, filesystem_.place(),
                           program());
    }
    void commit(StepContext& context) override {
        // These two can only be asked to grow while they are mounted.
        std::optional<TemporaryMount> mount;
        if (!filesystem_.is_ext()) {
            mount.emplace(filesystem_);
        }
        const CommandResult result = run_program(context, filesystem_, program(), arguments());
        if (!result.ok()) {
            refuse(result);
        }
    }
    std::string needs_no_undo() const override {
        return "growing a file system is safe at any moment; it can be asked for again";
    }

  private:
    std::string program() const {
        return filesystem_.is_ext() ? "resize2fs" : filesystem_.type == "xfs" ? "xfs_growfs" : "btrfs";
    }
    std::vector<std::string> arguments() const {
        if (filesystem_.is_ext()) {
            return {filesystem_.node};
        }
        if (filesystem_.type == "xfs") {
            return {"-d", filesystem_.mount_point};
        }
        return {"filesystem", "resize", fmt::format("{}:max", btrfs_device_id(filesystem_.node)),
                filesystem_.mount_point};
    }
    [[noreturn]] void refuse(const CommandResult& result) const {
        std::string way_out = "the same command tries again";
        ErrorCode code = ErrorCode::failure;
        if (filesystem_.is_ext() && filesystem_.mounted() && lacks_resource_capability(result)) {
            code = ErrorCode::program_missing; // the host's affair, not the disk's
            const std::string& name = filesystem_.name();
            way_out = fmt::format("Growing a mounted ext4 needs the capability CAP_SYS_RESOURCE, which this "
                                  "process has not. Run the "
                                  "same command as a root that has it; or unmount the disk (ploop umount {}) "
                                  "and run ploop resize -s {} "
                                  "{} then",
                                  name, wanted_sectors_, name);
        }
        throw PloopError(
            Exit::resize_filesystem, code,
            fmt::format("The disk and its partition have the new size, but the {} on {} has not: {} says "
                        "\"{}\". {}",
                        filesystem_.type, filesystem_.node, program(), last_words(result), way_out));
    }

    RunningFilesystem& filesystem_;
    std::uint64_t wanted_sectors_;
};

class ShrinkFilesystem final : public Step {
  public:
    ShrinkFilesystem(RunningFilesystem& filesystem, std::uint64_t new_size)
        : filesystem_(filesystem), new_size_(new_size) {}
    std::string kind() const override { return "ploop.shrink-filesystem"; }
    std::string text() const override {
        return fmt::format("shrink the {} on {} to {} bytes (resize2fs), and give back what lies behind it",
                           filesystem_.type, filesystem_.node, new_size_);
    }
    void commit(StepContext& context) override {
        const CommandResult result = run_program(context, filesystem_, "resize2fs",
                                                 {filesystem_.node, fmt::format("{}K", new_size_ / 1024)});
        if (!result.ok()) {
            throw PloopError(Exit::resize_filesystem, ErrorCode::failure,
                             fmt::format("The {} on {} could not be made smaller: resize2fs says \"{}\"",
                                         filesystem_.type, filesystem_.node, last_words(result)));
        }
        discard_behind(filesystem_.node, new_size_);
    }
    std::string needs_no_undo() const override {
        return "resize2fs finishes what it has begun; the disk keeps its size";
    }

  private:
    RunningFilesystem& filesystem_;
    std::uint64_t new_size_;
};

} // namespace

std::unique_ptr<Step> grow_device_step(RunningFilesystem& filesystem, std::uint64_t sectors) {
    return std::make_unique<GrowDevice>(filesystem, sectors);
}

std::unique_ptr<Step> table_step(RunningFilesystem& filesystem, const TableChange& change) {
    return std::make_unique<ChangeTable>(filesystem, change);
}

std::unique_ptr<Step> check_filesystem_step(RunningFilesystem& filesystem) {
    return std::make_unique<CheckFilesystem>(filesystem);
}

std::unique_ptr<Step> grow_filesystem_step(RunningFilesystem& filesystem, std::uint64_t wanted_sectors) {
    return std::make_unique<GrowFilesystem>(filesystem, wanted_sectors);
}

std::unique_ptr<Step> shrink_filesystem_step(RunningFilesystem& filesystem, std::uint64_t new_size) {
    return std::make_unique<ShrinkFilesystem>(filesystem, new_size);
}

} // namespace disktool::ploop::cli
