// SPDX-License-Identifier: LGPL-2.1-or-later
// Making a snapshot, and going back to one.
#include "disk_change.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

namespace disktool::ploop {

namespace {

/// The in-use mark that a killed writer left: a top that is read-only from now on must not carry it.
class CloseTopStep final : public Step {
  public:
    explicit CloseTopStep(PloopDisk& disk) : disk_(disk), path_(disk.file_of(disk.descriptor.top)) {}
    std::string kind() const override { return "ploop.close-image"; }
    std::string text() const override {
        return fmt::format("Take the in-use mark off {}, whose BAT is sound", path_);
    }
    Details details() const override { return {{"file", path_}}; }
    void commit(StepContext&) override { close_image(disk_, disk_.descriptor.top); }
    std::string needs_no_undo() const override {
        return "an image that nobody uses need not be marked as in use";
    }

  private:
    PloopDisk& disk_;
    std::string path_;
};

/// What `ploop info` told of a file system that is another one now. Gone too early it is only measured again.
class ForgetStatfsStep final : public Step {
  public:
    explicit ForgetStatfsStep(std::string path) : path_(std::move(path)) {}
    std::string kind() const override { return "ploop.forget-usage"; }
    std::string text() const override {
        return fmt::format("Remove {}, which tells the usage of the old top", path_);
    }
    Details details() const override { return {{"file", path_}}; }
    void commit(StepContext& context) override {
        FileDoor& files = context.doors().files;
        if (files.status(path_, false)) {
            files.remove(path_);
            files.sync_directory(directory_of(path_));
        }
    }
    std::string needs_no_undo() const override { return "the usage is measured again when it is asked for"; }

  private:
    std::string path_;
};

} // namespace

std::unique_ptr<Step> forget_usage_step(const PloopDisk& disk) {
    const std::string path = directory_of(disk.path()) + "/.statfs";
    const std::optional<FileStatus> status = disk.doors().files.status(path, false);
    return status && status->type == FileType::regular ? std::make_unique<ForgetStatfsStep>(path) : nullptr;
}

void refuse_bitmap(const PloopDisk& disk, const SnapshotRequest& request) {
    if (request.bitmap) {
        throw PloopError(
            Exit::no_tracking, ErrorCode::unsupported,
            fmt::format("{}: a change bitmap (-b) would have to be kept up to date by whoever writes to "
                        "the disk, and this program does not do that. Make the snapshot without -b",
                        disk.path()),
            Reason::feature_not_supported);
    }
}

Plan plan_snapshot(PloopDisk& disk, const SnapshotRequest& request) {
    refuse_bitmap(disk, request);
    const Uuid uuid = request.uuid.value_or(Uuid::random());
    Descriptor after = disk.descriptor;
    const Uuid top = disk.descriptor.top;
    after.add_snapshot(uuid, after.new_file_name());

    Plan plan("snapshot", disk.path());
    const auto delta = disk.open_delta(top, Access::read, true);
    if (!delta->raw() && delta->header().is_in_use()) {
        plan.add(std::make_unique<CloseTopStep>(disk));
        plan.note(fmt::format("{} is marked as in use: a program that wrote to it was killed", delta->path()));
    }
    const auto change = std::make_shared<DiskChange>(disk, "snapshot", std::move(after));
    const std::string file =
        resolve(disk.doors().files, disk.path(), *change->after.image(Uuid::top()), disk.options().allowed);
    change->will_make(file);
    plan.add(create_delta_step(change, file, top));
    add_switch(plan, change,
               fmt::format("Store the descriptor: what the disk holds now becomes snapshot {}, and {} its top",
                           uuid.text(), file),
               fmt::format("ploop snapshot {} has been successfully created", uuid.text()));
    return plan;
}

Plan plan_snapshot_switch(PloopDisk& disk, const SwitchRequest& request) {
    if (disk.descriptor.snapshot(request.uuid) == nullptr) {
        refuse_unknown(disk, request.uuid);
    }
    Descriptor after = disk.descriptor;
    after.switch_to(request.uuid, after.new_file_name(),
                    request.keep_old_top ? std::optional(Uuid::random()) : std::nullopt);
    // The disk is as large as it was when the snapshot was made.
    const auto delta = disk.open_delta(request.uuid, Access::read);
    const std::uint64_t sectors = round_up(delta->header().disk_sectors, delta->header().cluster_sectors);
    if (sectors != after.disk_sectors) {
        after.set_size(sectors);
    }

    Plan plan("snapshot-switch", disk.path());
    const auto change = std::make_shared<DiskChange>(disk, "snapshot-switch", std::move(after));
    const std::string file =
        resolve(disk.doors().files, disk.path(), *change->after.image(Uuid::top()), disk.options().allowed);
    change->will_make(file);
    if (!request.keep_old_top) {
        change->will_remove(disk.file_of(disk.descriptor.top));
    }
    plan.add(create_delta_step(change, file, request.uuid));
    if (auto forget = forget_usage_step(disk)) {
        plan.add(std::move(forget));
    }
    add_switch(plan, change,
               fmt::format("Store the descriptor: the disk goes back to snapshot {}, with {} as its top",
                           request.uuid.text(), file),
               "ploop snapshot has been successfully switched");
    return plan;
}

} // namespace disktool::ploop
