// SPDX-License-Identifier: LGPL-2.1-or-later
// Another version of the format, for every image of a chain.
#include "convert_version.h"

#include "bat_switch.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

namespace disktool::ploop {

namespace {

/// A raw base has no version.
bool has_another(const Delta& delta, Version version) {
    return !delta.raw() && delta.header().version != version;
}

void require_fits(const Delta& delta, Version version) {
    const Header& header = delta.header();
    const std::uint64_t end = delta.file().status().size / sector_size;
    if (version == Version::v1 &&
        (header.disk_sectors > largest_disk(version, header.cluster_sectors) || end > UINT32_MAX)) {
        throw PloopError(Exit::invalid_parameter, ErrorCode::unsupported,
                         fmt::format("{} is too large for version 1: its disk has {} sectors and its file "
                                     "{}, and version 1 counts at most {}",
                                     delta.path(), header.disk_sectors, end, UINT32_MAX),
                         Reason::size_too_large);
    }
}

/// At one instant: the BAT is the old or the new one, of the same clusters.
void rewrite(PloopDisk& disk, const Uuid& uuid, Version version) {
    const std::unique_ptr<Delta> delta = disk.open_delta(uuid, Access::write);
    Header header = delta->header();
    header.version = version;
    std::vector<std::uint32_t> bat(header.entries);
    for (std::uint64_t cluster = 0; cluster < bat.size(); ++cluster) {
        bat[cluster] = offset_entry(header, delta->place(cluster).value_or(0));
    }
    bool decided = false;
    switch_bat(disk.doors(), delta->file(), header, bat, decided);
}

class VersionStep final : public Step {
  public:
    VersionStep(PloopDisk& disk, std::vector<Uuid> images, Version version)
        : disk_(disk), images_(std::move(images)), version_(version) {}
    std::string kind() const override { return "ploop.convert-version"; }
    std::string text() const override {
        std::vector<std::string> files;
        for (const Uuid& uuid : images_) {
            files.push_back(disk_.file_of(uuid));
        }
        return fmt::format("rewrite header and BAT of {} for version {}", fmt::join(files, ", "),
                           static_cast<std::uint32_t>(version_));
    }
    std::string needs_no_undo() const override { return {}; }
    void commit(StepContext& context) override {
        FileDoor& files = context.doors().files;
        if (images_.size() > 1) { // one alone changes at one instant
            DiskJob job;
            job.verb = "convert";
            job.image_version = static_cast<std::uint32_t>(version_);
            write_job(files, disk_.path(), job);
            recorded_ = true;
        }
        for (const Uuid& uuid : images_) {
            context.cancel().check();
            begun_ = true;
            rewrite(disk_, uuid, version_);
        }
        if (recorded_) {
            remove_job(files, disk_.path());
        }
    }
    void undo(StepContext& context) override {
        if (!recorded_) {
            return;
        }
        if (!begun_) {
            remove_job(context.doors().files, disk_.path());
            return;
        }
        context.warn("The conversion is not finished: the next command that changes or mounts the disk does "
                     "that. Until then some of its images have the new version and some the old one; the disk "
                     "is the same");
    }

  private:
    PloopDisk& disk_;
    std::vector<Uuid> images_;
    Version version_;
    bool recorded_ = false, begun_ = false;
};

} // namespace

Plan plan_convert_version(PloopDisk& disk, Version version) {
    if (disk.descriptor.mode == DiskMode::raw) {
        throw PloopError(Exit::invalid_parameter, ErrorCode::unsupported,
                         fmt::format("{} is a raw disk, and a raw image has no version", disk.path()));
    }
    Plan plan("convert", disk.path());
    std::vector<Uuid> images;
    for (const ImageEntry& entry : disk.descriptor.images) {
        const std::unique_ptr<Delta> delta = disk.open_delta(entry.uuid, Access::read);
        if (has_another(*delta, version)) {
            require_fits(*delta, version);
            images.push_back(entry.uuid);
        }
    }
    if (!images.empty()) {
        plan.add(std::make_unique<VersionStep>(disk, images, version));
    }
    return plan;
}

void finish_version(PloopDisk& disk, const DiskJob& job) {
    if (job.image_version == 0) {
        return;
    }
    try {
        const auto version = static_cast<Version>(job.image_version);
        for (const ImageEntry& entry : disk.descriptor.images) {
            if (has_another(*disk.open_delta(entry.uuid, Access::read), version)) {
                rewrite(disk, entry.uuid, version);
            }
        }
        disk.say(
            fmt::format("An interrupted conversion to version {} was brought to its end", job.image_version));
    } catch (const Error& error) {
        if (error.code() == ErrorCode::interrupted) {
            throw;
        }
        disk.say(fmt::format("The interrupted conversion to version {} cannot be finished: {}. The disk is the "
                             "same; run \"ploop convert -v {} {}\" when that is mended",
                             job.image_version, error.what(), job.image_version, disk.path()));
    }
}

} // namespace disktool::ploop
