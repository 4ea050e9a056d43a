// SPDX-License-Identifier: LGPL-2.1-or-later
// Another file takes the place of an image: a copy of it, on another storage perhaps.
#include "replace.h"

#include "compare_images.h"
#include "disk_change.h"
#include "image_path.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace disktool::ploop {

namespace {

/// --keep-name: the new file's name goes, and the old one's is that of the new file from one instant on.
class TakeNameStep final : public Step {
  public:
    TakeNameStep(PloopDisk& disk, std::string new_file, std::string old_file)
        : disk_(disk), new_file_(std::move(new_file)), old_file_(std::move(old_file)) {}
    std::string kind() const override { return "ploop.rename-image"; }
    std::string text() const override { return fmt::format("Rename {} over {}", new_file_, old_file_); }
    Details details() const override { return {{"from", new_file_}, {"to", old_file_}}; }
    void commit(StepContext& context) override {
        // What it replaces is gone afterwards.
        sync_replacement(context.doors().files, new_file_);
        take_old_name(context.doors().files, new_file_, old_file_);
        disk_.say(fmt::format("{} has been replaced by {}", old_file_, new_file_));
    }
    std::string needs_no_undo() const override {
        return "a file is renamed at one instant, wholly or not at all";
    }

  private:
    PloopDisk& disk_;
    std::string new_file_, old_file_;
};

class SyncFileStep final : public Step {
  public:
    explicit SyncFileStep(std::string path) : path_(std::move(path)) {}
    std::string kind() const override { return "ploop.sync-image"; }
    std::string text() const override { return fmt::format("Put {} on stable storage", path_); }
    Details details() const override { return {{"file", path_}}; }
    void commit(StepContext& context) override { sync_replacement(context.doors().files, path_); }
    std::string needs_no_undo() const override { return "a file is not changed by being synced"; }

  private:
    std::string path_;
};

Uuid uuid_at(const PloopDisk& disk, std::uint64_t level) {
    const std::vector<Uuid> chain = disk.descriptor.chain(disk.descriptor.top);
    if (level >= chain.size()) {
        refuse(fmt::format("{} has no image at level {}: its levels are 0 (the base) to {} (the top)",
                           disk.path(), level, chain.size() - 1));
    }
    return chain[level];
}

} // namespace

Uuid uuid_to_replace(const PloopDisk& disk, const ReplaceRequest& request) {
    if (request.uuid.has_value() + request.level.has_value() + !request.current_file.empty() != 1) {
        refuse("Name the image to be replaced by its uuid (-u), its level (-l) or its file (-o)");
    }
    if (request.level) {
        return uuid_at(disk, *request.level);
    }
    if (request.uuid) {
        if (disk.descriptor.image(*request.uuid) == nullptr) {
            refuse_unknown(disk, *request.uuid);
        }
        return *request.uuid;
    }
    FileDoor& files = disk.doors().files;
    const std::optional<FileStatus> wanted = files.status(request.current_file);
    for (const ImageEntry& entry : disk.descriptor.images) {
        const std::optional<FileStatus> status =
            files.status(joined_path(directory_of(disk.path()), entry.file));
        if (wanted && status && status->same_file(*wanted)) {
            return entry.uuid;
        }
    }
    refuse(fmt::format("{} is not an image of {}; \"ploop snapshot-list -o fname\" tells which are",
                       request.current_file, disk.path()));
}

namespace {

/// What can be told at once.
void require_same_kind(const Delta& one, const Delta& other) {
    if (one.raw() != other.raw() || one.file().status().size != other.file().status().size) {
        refuse_replacement(one, other,
                           fmt::format("the one has {} and the other {}",
                                       exact_size_text(one.file().status().size),
                                       exact_size_text(other.file().status().size)));
    }
    Header header = other.header();
    header.in_use = one.header().in_use;
    if (!(header == one.header())) {
        refuse_replacement(one, other, "their headers differ");
    }
}

std::unique_ptr<Delta> open_like(FileDoor& files, const std::string& path, const Delta& model) {
    auto file = files.open(path, {});
    return model.raw() ? Delta::open_raw(std::move(file), Access::read, model.header().cluster_sectors)
                       : Delta::open(std::move(file), Access::read);
}

class CompareStep final : public Step {
  public:
    CompareStep(PloopDisk& disk, Uuid uuid, std::string new_file, const Delta& present)
        : disk_(disk), uuid_(std::move(uuid)), new_file_(std::move(new_file)),
          bytes_(present.allocated_clusters() * present.cluster_size()) {}
    std::string kind() const override { return "ploop.compare-images"; }
    std::string text() const override {
        return fmt::format("Compare {} with {}", new_file_, disk_.file_of(uuid_));
    }
    Cost cost() const override {
        Cost cost;
        cost.read = 2 * bytes_;
        return cost;
    }
    Details details() const override { return {{"bytes", bytes_}}; }
    std::string needs_no_undo() const override { return "it only reads"; }
    void commit(StepContext& context) override {
        const auto one = disk_.open_delta(uuid_, Access::read);
        const auto other = open_like(context.doors().files, new_file_, *one);
        require_same_kind(*one, *other);
        require_same_content(*one, *other, disk_.descriptor.snapshot(uuid_)->parent.is_none(),
                             [&](std::uint64_t bytes) {
                                 context.cancel().check();
                                 context.advance(bytes);
                             });
    }

  private:
    PloopDisk& disk_;
    Uuid uuid_;
    std::string new_file_;
    std::uint64_t bytes_;
};

} // namespace

std::string replacement_of(const PloopDisk& disk, const ReplaceRequest& request) {
    FileDoor& files = disk.doors().files;
    if (request.new_file.empty() || !files.status(request.new_file)) {
        refuse(fmt::format("There is no file \"{}\" to take the place of the image; name one with -i",
                           request.new_file));
    }
    std::string new_file = disk.gated(request.new_file);
    for (const ImageEntry& entry : disk.descriptor.images) {
        const std::optional<FileStatus> status =
            files.status(joined_path(directory_of(disk.path()), entry.file));
        if (status && status->same_file(*files.status(new_file))) {
            refuse(fmt::format("{} is an image of this disk already", new_file));
        }
    }
    return new_file;
}

Descriptor with_replacement(const PloopDisk& disk, const Uuid& uuid, const std::string& new_file) {
    Descriptor after = disk.descriptor;
    for (ImageEntry& entry : after.images) {
        if (entry.uuid == uuid) {
            entry.file = stored_name(directory_of(disk.path()), new_file);
            entry.path = new_file;
        }
    }
    return after;
}

void sync_replacement(FileDoor& files, const std::string& new_file) {
    files.open(new_file, {.write = true})->sync();
    files.sync_directory(directory_of(new_file));
}

void take_old_name(FileDoor& files, const std::string& new_file, const std::string& old_file) {
    files.rename(new_file, old_file);
    files.sync_directory(directory_of(old_file));
    if (directory_of(new_file) != directory_of(old_file)) {
        files.sync_directory(directory_of(new_file));
    }
}

Plan plan_replace(PloopDisk& disk, const ReplaceRequest& request) {
    const Uuid uuid = uuid_to_replace(disk, request);
    const std::string old_file = disk.file_of(uuid);
    const std::string new_file = replacement_of(disk, request);
    const auto old_delta = disk.open_delta(uuid, Access::read);
    require_same_kind(*old_delta, *open_like(disk.doors().files, new_file, *old_delta));

    Plan plan("replace", disk.path());
    plan.add(std::make_unique<CompareStep>(disk, uuid, new_file, *old_delta));
    if (request.keep_name) {
        plan.add(std::make_unique<TakeNameStep>(disk, new_file, old_file));
        return plan;
    }
    const auto change = std::make_shared<DiskChange>(disk, "replace", with_replacement(disk, uuid, new_file));
    plan.add(std::make_unique<SyncFileStep>(new_file));
    add_switch(plan, change, fmt::format("Store the descriptor with {} in the place of {}", new_file, old_file),
               fmt::format("{} has been replaced by {}", old_file, new_file));
    return plan;
}

} // namespace disktool::ploop
