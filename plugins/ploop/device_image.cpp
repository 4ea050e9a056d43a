// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device_image.h"

#include "device_work.h"

#include <disktool/error.h>
#include <disktool/log.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <cstdlib>
#include <utility>

namespace disktool::ploop {

namespace {

/// Does not own the file.
class DeviceReader final : public BlockDevice {
  public:
    explicit DeviceReader(File& file) : file_(file), size_(file.status().size) {}
    std::uint64_t size() const override { return size_; }
    std::string name() const override { return file_.path(); }
    bool concurrent() const override { return true; }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override {
        check_range(offset, buffer.size());
        file_.read(offset, buffer);
    }

  private:
    File& file_;
    std::uint64_t size_;
};

class PatchStep final : public Step {
  public:
    PatchStep(DeviceImage& image, ResizeRequest request) : image_(image), request_(std::move(request)) {}
    std::string kind() const override { return "ploop.patch-device"; }
    std::string text() const override {
        return fmt::format("rewrite the partition table for {}", exact_size_text(request_.new_size));
    }
    Cost cost() const override {
        Cost cost;
        for (const Patch& patch : request_.patches) {
            cost.written += patch.data.size();
        }
        return cost;
    }
    std::string needs_no_undo() const override {
        return "the device is not touched before all that is to be written is safe on the host";
    }
    void commit(StepContext& context) override {
        context.cancel().check();
        const auto work = image_.begin_work(image_.info().virtual_size);
        for (const Patch& patch : request_.patches) {
            work->write(patch.offset, patch.data);
        }
        WorkCommit commit;
        commit.size = request_.new_size;
        work->commit(commit);
    }

  private:
    DeviceImage& image_;
    ResizeRequest request_;
};

} // namespace

std::string device_state_folder() {
    const char* const named = std::getenv("DISKTOOL_STATE");
    return named != nullptr && named[0] == '/' ? named : "/var/lib/disktool";
}

DeviceImage::DeviceImage(std::unique_ptr<ImageOpener> opener) : opener_(std::move(opener)) {
    File& file = opener_->file();
    const std::string folder = device_state_folder();
    if (opener_->access() == Access::write) {
        if (finish_device_work(opener_->doors(), file, folder)) {
            log(LogLevel::warning,
                fmt::format("{}: an interrupted resize was brought to its end", file.path()));
        }
    } else if (const auto left = device_work_left(opener_->doors(), file, folder)) {
        throw Error(ErrorCode::recovery,
                    fmt::format("{} holds a part of its new state only, since a resize was interrupted; run it "
                                "without --dry-run, and it copies the rest from {} first",
                                file.path(), *left),
                    Reason::job_interrupted);
    }
    device_ = std::make_unique<DeviceReader>(file);
    info_.path = file.path();
    info_.format = "ploop";
    info_.virtual_size = info_.file_size = info_.allocated = device_->size();
    info_.cluster_size = 512;
    info_.work_path = opener_->doors().files.status(folder) ? folder : directory_of(folder);
    info_.chain = {{info_.path, info_.format, info_.virtual_size, info_.allocated}};
}

DeviceImage::~DeviceImage() = default;

std::optional<Refusal> DeviceImage::refusal(Capability capability) const {
    if (capability == Capability::grow || capability == Capability::shrink) {
        return std::nullopt;
    }
    return Refusal{Reason::capability_missing,
                   fmt::format("{} is a block device, which can be resized only", info_.path)};
}

void DeviceImage::plan_resize(Plan& plan, const ResizeRequest& request) {
    if (request.new_size > info_.virtual_size) {
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{} has {}", info_.path, exact_size_text(info_.virtual_size)), Reason::no_room);
    }
    plan.add(std::make_unique<PatchStep>(*this, request));
}

std::unique_ptr<WorkingDisk> DeviceImage::begin_work(std::uint64_t size) {
    if (opener_->access() != Access::write) {
        throw Error(ErrorCode::unsupported, fmt::format("{} is open for reading only", info_.path));
    }
    return std::make_unique<DeviceWork>(opener_->doors(), opener_->file(), device_state_folder(), size);
}

} // namespace disktool::ploop
