// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk_change.h"

#include "running.h"

#include <disktool/error.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace disktool::ploop {

namespace {

std::string temporary_of(const PloopDisk& disk) {
    return disk.path() + ".tmp";
}

} // namespace

DiskChange::DiskChange(PloopDisk& of_disk, std::string verb, Descriptor new_descriptor)
    : disk(of_disk), after(std::move(new_descriptor)) {
    job_.verb = std::move(verb);
}

/// Stored before the long work, so that a full host does not fail the switch after it.
void DiskChange::store_temporary() const {
    FileDoor& files = disk.doors().files;
    const std::string path = temporary_of(disk);
    disk.say(fmt::format("Storing {}", path));
    after.store(files, path);
    const auto model = files.open(disk.path(), {});
    const auto file = files.open(path, {.write = true, .follow_links = false});
    file->take_attributes(*model);
    file->sync();
}

/// A descriptor may name one file twice, and then it cannot go with one of its entries.
void DiskChange::refuse_shared_files() const {
    for (const ImageEntry& entry : after.images) {
        const std::optional<FileStatus> status = disk.doors().files.status(
            resolve(disk.doors().files, disk.path(), entry, disk.options().allowed), true);
        for (const JobFile& file : job_.gone) {
            if (status && status->device == file.device && status->inode == file.inode) {
                throw PloopError(Exit::bad_descriptor, ErrorCode::damaged,
                                 fmt::format("{} names {} for more than one snapshot, so it cannot be removed; "
                                             "correct the descriptor",
                                             disk.path(), file.path),
                                 Reason::image_corrupt);
            }
        }
    }
}

void DiskChange::begin() {
    if (begun_) {
        return;
    }
    FileDoor& files = disk.doors().files;
    begun_ = true;
    if (!has_files()) {
        return; // the descriptor alone changes: its own store is the instant
    }
    for (const std::string& path : made_) {
        if (files.status(path, false)) {
            refuse(fmt::format("{} exists already; name a file that does not", path));
        }
        job_.made.push_back({path, 0, 0});
    }
    for (const std::string& path : gone_) {
        job_.gone.push_back(identify(files, path));
    }
    refuse_shared_files();
    for (const std::string& path : changing_) {
        job_.changing.push_back(identify(files, path));
    }
    for (const auto& list : {gone_, changing_}) {
        for (const std::string& path : list) {
            refuse_used(files, path);
        }
    }
    write_job(files, disk.path(), job_);
    stored_ = true;
    store_temporary();
}

void DiskChange::made(File& file) {
    const FileStatus status = file.status();
    for (JobFile& entry : job_.made) {
        if (entry.path == file.path()) {
            entry.device = status.device;
            entry.inode = status.inode;
        }
    }
    write_job(disk.doors().files, disk.path(), job_);
}

void DiskChange::switch_over() {
    begin();
    FileDoor& files = disk.doors().files;
    if (has_files()) {
        files.rename(temporary_of(disk), disk.path());
        switching_ = true;
        files.sync_directory(directory_of(disk.path()));
    } else {
        disk.say(fmt::format("Storing {}", disk.path()));
        after.store(files, disk.path());
    }
    switched_ = true;
    // The paths of new images are known to whoever reads the descriptor anew.
    disk.descriptor = Descriptor::load(files, disk.path());
}

void DiskChange::finish() {
    FileDoor& files = disk.doors().files;
    for (const JobFile& file : job_.gone) {
        disk.say(fmt::format("Removing {}", file.path));
        remove_listed(files, file);
    }
    if (stored_) {
        remove_job(files, disk.path());
    }
}

void DiskChange::roll_back() {
    if (!stored_ || switched_ || switching_ || left_) {
        return;
    }
    FileDoor& files = disk.doors().files;
    stored_ = false;
    for (const JobFile& file : job_.made) {
        remove_listed(files, file);
    }
    for (const std::string& path : {temporary_of(disk) + ".tmp", temporary_of(disk)}) {
        if (files.status(path, false)) {
            files.remove(path);
        }
    }
    remove_job(files, disk.path());
}

namespace {

class SayStep final : public Step {
  public:
    SayStep(PloopDisk& disk, std::string line, std::string text)
        : disk_(disk), line_(std::move(line)), text_(std::move(text)) {}
    std::string kind() const override { return "ploop.say"; }
    std::string text() const override { return text_; }
    void commit(StepContext&) override { disk_.say(line_); }
    std::string needs_no_undo() const override { return "it only says a line"; }

  private:
    PloopDisk& disk_;
    std::string line_, text_;
};

class CreateDeltaStep final : public Step {
  public:
    CreateDeltaStep(std::shared_ptr<DiskChange> change, std::string path, Uuid like)
        : change_(std::move(change)), path_(std::move(path)), like_(std::move(like)) {}
    std::string kind() const override { return "ploop.create-delta"; }
    std::string text() const override { return fmt::format("Create an empty delta, {}", path_); }
    Details details() const override { return {{"file", path_}}; }
    void commit(StepContext&) override {
        PloopDisk& disk = change_->disk;
        const auto like = disk.open_delta(like_, Access::read);
        disk.say(fmt::format("Opening delta {}", like->path()));
        disk.say(fmt::format("Adding snapshot {}", Uuid::top().text()));
        change_->begin();
        const Header& header = like->header();
        disk.say(fmt::format("Creating delta {} bs={} size={} sectors v{}", path_, header.cluster_sectors,
                             header.disk_sectors,
                             like->raw() ? 2u : static_cast<std::uint32_t>(header.version)));
        disk.create_delta(path_, *like, [&](File& file) { change_->made(file); });
        disk.say(fmt::format("Opening delta {}", like->path()));
    }
    std::string needs_no_undo() const override { return {}; }
    void undo(StepContext&) override { change_->roll_back(); }

  private:
    std::shared_ptr<DiskChange> change_;
    std::string path_;
    Uuid like_;
};

class StoreStep final : public Step {
  public:
    StoreStep(std::shared_ptr<DiskChange> change, std::string text, std::string last)
        : change_(std::move(change)), text_(std::move(text)), last_(std::move(last)) {}
    std::string kind() const override { return "ploop.store-descriptor"; }
    std::string text() const override { return text_; }
    Details details() const override { return {{"descriptor", change_->disk.path()}}; }
    void commit(StepContext&) override {
        change_->switch_over();
        if (change_->gone().empty()) {
            change_->finish();
            if (!last_.empty()) {
                change_->disk.say(last_);
            }
        }
    }
    std::string needs_no_undo() const override { return {}; }
    void undo(StepContext&) override { change_->roll_back(); }

  private:
    std::shared_ptr<DiskChange> change_;
    std::string text_, last_;
};

class RemoveStep final : public Step {
  public:
    RemoveStep(std::shared_ptr<DiskChange> change, std::string last)
        : change_(std::move(change)), last_(std::move(last)) {}
    std::string kind() const override { return "ploop.remove-files"; }
    std::string text() const override { return fmt::format("Remove {}", fmt::join(change_->gone(), ", ")); }
    Details details() const override {
        Details details;
        for (const std::string& path : change_->gone()) {
            details.emplace_back("file", path);
        }
        return details;
    }
    void commit(StepContext&) override {
        change_->finish();
        if (!last_.empty()) {
            change_->disk.say(last_);
        }
    }
    std::string needs_no_undo() const override {
        return "the disk is the new one already; what could not be removed goes when the disk is next opened "
               "for "
               "writing";
    }

  private:
    std::shared_ptr<DiskChange> change_;
    std::string last_;
};

} // namespace

std::unique_ptr<Step> say_step(PloopDisk& disk, const std::string& line, const std::string& text) {
    return std::make_unique<SayStep>(disk, line, text);
}

std::unique_ptr<Step> create_delta_step(std::shared_ptr<DiskChange> change, const std::string& path,
                                        const Uuid& like) {
    return std::make_unique<CreateDeltaStep>(std::move(change), path, like);
}

std::unique_ptr<Step> store_step(std::shared_ptr<DiskChange> change, const std::string& text,
                                 const std::string& say_at_end) {
    return std::make_unique<StoreStep>(std::move(change), text, say_at_end);
}

std::unique_ptr<Step> remove_step(std::shared_ptr<DiskChange> change, const std::string& say_at_end) {
    return std::make_unique<RemoveStep>(std::move(change), say_at_end);
}

void add_switch(Plan& plan, const std::shared_ptr<DiskChange>& change, const std::string& text,
                const std::string& say_at_end) {
    plan.add(store_step(change, text, say_at_end));
    if (!change->gone().empty()) {
        plan.add(remove_step(change, say_at_end));
    }
}

void refuse(const std::string& sentence, Reason reason) {
    throw PloopError(Exit::invalid_parameter, ErrorCode::unsupported, sentence, reason);
}

void refuse_unknown(const PloopDisk& disk, const Uuid& uuid) {
    throw PloopError(Exit::no_snapshot, ErrorCode::not_found,
                     fmt::format("Can't find snapshot {} in {}; \"ploop snapshot-list\" tells which there are",
                                 uuid.text(), disk.path()));
}

void require_plain(const PloopDisk& disk) {
    if (disk.descriptor.old_format) {
        refuse(fmt::format(
            "{} is of the old format: its TopGUID is {} instead of {}. A command that stores it, as "
            "\"ploop grow\", brings it up to date",
            disk.path(), disk.descriptor.top.text(), Uuid::top().text()));
    }
}

} // namespace disktool::ploop
