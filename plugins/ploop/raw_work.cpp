// SPDX-License-Identifier: LGPL-2.1-or-later
#include "raw_work.h"

#include "merge_clusters.h"

#include <disktool/error.h>
#include <disktool/log.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>

namespace disktool::ploop {

namespace {

constexpr std::string_view work_suffix = ".disktool-work";

/// Of the raw file while a delta lies over it.
const Uuid& work_uuid() {
    static const Uuid uuid = Uuid::parse("{646b746f-6f6c-4072-8177-776f726b2121}").value();
    return uuid;
}

std::string work_name(const std::string& image) {
    return image + std::string(work_suffix);
}

/// What is reserved behind the end of the file goes.
void give_reserve_back(FileDoor& files, const std::string& image) {
    const auto file = files.open(image, {.write = true});
    file->truncate(file->status().size);
}

void remove_overlay(FileDoor& files, const std::string& image) {
    if (files.status(work_name(image), false)) {
        files.remove(work_name(image));
        files.sync_directory(directory_of(image));
    }
}

/// A host that cannot reserve is one that may be full later on; what was read before says whether it is now.
void reserve_range(FileDoor& files, File& file, Range range) {
    try {
        file.allocate(range, true);
    } catch (const SystemError& error) {
        if (error.error_number() != EOPNOTSUPP && error.error_number() != ENOSYS) {
            throw;
        }
        const std::uint64_t there = files.free_space(file.path());
        if (there < range.length) {
            throw Error(ErrorCode::no_space,
                        fmt::format("{} needs {} more, and its file system has {} free; nothing was changed",
                                    file.path(), exact_size_text(range.length), exact_size_text(there)));
        }
    }
}

/// The delta's clusters into the raw file, whose length follows the disk's. The disk reads the same at every
/// moment, since the delta overrides them. Nothing of it is undone: it can be done again.
class FoldStep final : public Step {
  public:
    FoldStep(PloopDisk& disk, Uuid upper) : disk_(disk), upper_(std::move(upper)) {}
    std::string kind() const override { return "ploop.fold-raw"; }
    std::string text() const override { return "move what has changed into the raw image"; }
    std::string needs_no_undo() const override {
        return "the disk reads the same while it is done, and the next run goes on";
    }
    void commit(StepContext& context) override {
        // Whoever was killed may not have come to this, and the raw file must not change before.
        disk_.doors().files.sync_directory(directory_of(disk_.path()));
        {
            const auto overlay = disk_.open_delta(upper_, Access::read);
            const auto raw = disk_.open_delta(work_uuid(), Access::write);
            raw->begin();
            const std::uint64_t sectors = overlay->header().disk_sectors;
            if (raw->header().disk_sectors < sectors) {
                raw->grow(sectors);
            }
            const Delta* const newest = overlay.get();
            move_clusters({&newest, 1}, *raw, overlay->clusters(), context);
            raw->flush();
            if (raw->header().disk_sectors > sectors) {
                raw->shrink(sectors);
            }
            raw->end();
        }
        const std::string upper_file = disk_.file_of(upper_);
        Descriptor folded = disk_.descriptor;
        folded.merge(upper_, disk_.file_of(work_uuid()));
        disk_.say("Storing " + disk_.path());
        folded.store(disk_.doors().files, disk_.path());
        disk_.descriptor = Descriptor::load(disk_.doors().files, disk_.path());
        disk_.doors().files.remove(upper_file);
        disk_.doors().files.sync_directory(directory_of(upper_file));
    }

  private:
    PloopDisk& disk_;
    Uuid upper_;
};

void fold(PloopDisk& disk, const Uuid& upper) {
    Plan plan("resize", disk.path());
    plan.add(std::make_unique<FoldStep>(disk, upper));
    run_plan(plan, disk.doors(), nullptr, {});
}

bool is_in_use(const PloopDisk& disk, const Uuid& uuid) {
    std::array<std::byte, header_size> bytes{};
    const auto file = disk.doors().files.open(disk.file_of(uuid), {});
    file->read(0, bytes);
    return parse_header(bytes, file->path()).is_in_use();
}

} // namespace

RawWork::RawWork(PloopDisk& disk, std::uint64_t size, std::function<void()> done)
    : OverlayWork(disk.open_delta(disk.descriptor.top, Access::read), size), disk_(disk),
      image_(disk.file_of(disk.descriptor.top)), done_(std::move(done)) {
    remove_overlay(disk.doors().files, image_);
    try {
        make_overlay(disk.doors().files, work_name(image_), true);
    } catch (...) {
        abandon();
        throw;
    }
}

RawWork::~RawWork() {
    if (!over_) {
        abandon();
    }
}

void RawWork::abandon() noexcept {
    over_ = true;
    let_go();
    try {
        remove_overlay(disk_.doors().files, image_);
        if (reserved_) {
            give_reserve_back(disk_.doors().files, image_);
        }
    } catch (const std::exception& error) {
        log(LogLevel::warning,
            fmt::format("What the work had taken of the host could not be given back; the next run "
                        "does: {}",
                        error.what()));
    }
}

/// All that the raw file will need: once the descriptor has switched, a full host would leave the disk in two
/// files.
void RawWork::reserve(const WorkCommit& request, std::uint64_t old_size) {
    FileDoor& files = disk_.doors().files;
    const auto raw = files.open(image_, {.write = true});
    const std::uint64_t new_size = chain().size();
    reserved_ = true;
    if (request.reserve) {
        reserve_range(files, *raw, {0, new_size});
        return;
    }
    const Delta& overlay = chain().top();
    for (std::uint64_t cluster = 0; cluster < overlay.clusters();) {
        const Delta::Run run = overlay.look(cluster, overlay.clusters() - cluster);
        const std::uint64_t end = std::min(old_size, (cluster + run.clusters) * overlay.cluster_size());
        if (run.offset && cluster * overlay.cluster_size() < end) {
            reserve_range(files, *raw,
                          {cluster * overlay.cluster_size(), end - cluster * overlay.cluster_size()});
        }
        cluster += run.clusters;
    }
    if (old_size < new_size) {
        reserve_range(files, *raw, {old_size, new_size - old_size});
    }
}

void RawWork::name_overlay(std::uint64_t sectors) {
    FileDoor& files = disk_.doors().files;
    Descriptor changed = disk_.descriptor;
    changed.modernise();
    changed.add_snapshot(work_uuid(), work_name(image_), true);
    changed.set_size(sectors);
    disk_.say("Storing " + disk_.path());
    changed.store(files, disk_.path());
    disk_.descriptor = Descriptor::load(files, disk_.path());
}

/// Where the folder could not be synced, a power cut may leave either descriptor: both need all that is there.
bool RawWork::may_have_switched() const noexcept {
    try {
        return raw_work_unfinished(Descriptor::load(disk_.doors().files, disk_.path()));
    } catch (const std::exception&) {
        return true;
    }
}

void RawWork::commit(const WorkCommit& request) {
    if (over_ || request.size > size()) {
        throw std::logic_error("a commit after the end of its working disk, or larger than it");
    }
    FileDoor& files = disk_.doors().files;
    const std::uint32_t unit = disk_.descriptor.cluster_sectors;
    const std::uint64_t sectors = round_up(divide_up(request.size, sector_size), unit);
    try {
        Delta& overlay = chain().top();
        if (sectors < overlay.header().disk_sectors) {
            overlay.shrink(sectors);
        }
        reserve(request, files.status(image_)->size);
        close_overlay();
        files.sync_directory(directory_of(image_));
        name_overlay(sectors);
    } catch (...) {
        if (may_have_switched()) {
            over_ = true;
        } else {
            abandon();
        }
        throw;
    }
    over_ = true;
    try {
        fold(disk_, disk_.descriptor.top);
    } catch (const Error& error) {
        throw Error(
            error.code(),
            fmt::format("{} is the new disk already, but lies in two files yet; the next run that opens "
                        "it for writing puts them together: {}",
                        disk_.path(), error.what()),
            error.reason());
    }
    if (done_) {
        done_();
    }
}

bool raw_work_unfinished(const Descriptor& descriptor) {
    const ImageEntry* raw = descriptor.image(work_uuid());
    return raw != nullptr && raw->raw && descriptor.children(work_uuid()).size() == 1;
}

void finish_raw_work(PloopDisk& disk) {
    FileDoor& files = disk.doors().files;
    if (raw_work_unfinished(disk.descriptor)) {
        const Uuid upper = disk.descriptor.children(work_uuid()).front();
        if (is_in_use(disk, upper)) {
            disk.say(fmt::format("{} is in use, so an interrupted change of the raw image below it waits",
                                 disk.file_of(upper)));
            return;
        }
        fold(disk, upper);
        disk.say(fmt::format("An interrupted change of {} was brought to its end", disk.path()));
    }
    const ImageEntry& first = disk.descriptor.images.front();
    if (!first.raw || disk.descriptor.images.size() > 1) {
        return;
    }
    const std::string image = disk.file_of(first.uuid);
    if (files.status(work_name(image), false)) {
        give_reserve_back(files, image);
        remove_overlay(files, image);
        disk.say(fmt::format("Removing {}, left by an interrupted change", work_name(image)));
    }
}

} // namespace disktool::ploop
