// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device_disk.h"

#include "block/host_descriptor.h"
#include "command.h"
#include "core_disk.h"
#include "device_image.h"
#include "device_work.h"
#include "partition/table.h"
#include "verb/resize.h"

#include <disktool/size.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace disktool::ploop::cli {

namespace {

/// Ours alone: the kernel lets nobody mount it meanwhile, nor make it a part of something.
disktool::Descriptor claim(const std::string& device) {
    disktool::Descriptor claimed(::open(device.c_str(), O_RDWR | O_EXCL | O_CLOEXEC));
    if (claimed) {
        return claimed;
    }
    if (errno == EBUSY) {
        throw PloopError(
            Exit::dirty, ErrorCode::locked,
            fmt::format("{} is in use: it, or a partition of it, is mounted, or a part of something. "
                        "Unmount it first (lsblk shows what has it)",
                        device),
            Reason::image_in_use);
    }
    throw SystemError("Cannot open", device, errno, SystemCall::open);
}

/// It may have partitions of an older table. Kernels that read no tables, and devices that can have none, say
/// so: then there is nothing to be read anew.
void read_table_anew(const disktool::Descriptor& device) {
    (void)::ioctl(device.get(), BLKRRPART);
}

void make_state_folder() {
    const std::string folder = device_state_folder();
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
        throw SystemError("Cannot make the folder", folder, errno, SystemCall::make_directory);
    }
}

class InitDeviceStep final : public Step {
  public:
    InitDeviceStep(std::string device, std::uint64_t size, NewFilesystem filesystem)
        : device_(std::move(device)), size_(size), filesystem_(std::move(filesystem)) {}
    std::string kind() const override { return "ploop.init-device"; }
    std::string text() const override {
        return fmt::format(
            "make a GPT with one partition on {} ({}), and an {} on it (mke2fs, tune2fs); what is on "
            "the device is lost",
            device_, exact_size_text(size_), filesystem_.type);
    }
    std::string needs_no_undo() const override { return "what was on the device is lost with the first write"; }
    void commit(StepContext& context) override {
        disktool::Descriptor claimed = claim(device_);
        const auto file = context.doors().files.open(device_, {.write = true});
        forget_device_work(context.doors(), *file, device_state_folder());
        claimed.close(); // mke2fs wants to claim it by itself
        make_filesystem_on_device(context, device_, size_, filesystem_);
        file->sync();
        read_table_anew(claim(device_));
    }

  private:
    std::string device_;
    std::uint64_t size_;
    NewFilesystem filesystem_;
};

} // namespace

bool is_block_device(const std::string& path) {
    const std::optional<FileStatus> status = real_doors().files.status(path);
    return status && status->type == FileType::block_device;
}

int init_device(const Options& options, const std::string& device, const NewFilesystem& filesystem) {
    if (filesystem.type == "none") {
        throw ParameterError(
            fmt::format("{} is a block device: with -t none there is nothing to be made", device));
    }
    if (!is_cluster_size(filesystem.cluster_sectors)) {
        throw ParameterError(fmt::format("Incorrect block size specified: {}", filesystem.cluster_sectors));
    }
    claim(device);
    Plan plan("init", device);
    plan.add(std::make_unique<InitDeviceStep>(device, real_doors().files.open(device, {})->status().size,
                                              filesystem));
    options.output->json()["device"] = device;
    return carry_out(options, plan);
}

int resize_device(const Options& options, const std::string& device, std::uint64_t sectors) {
    const disktool::Descriptor claimed = claim(device);
    try {
        if (!options.dry_run) {
            make_state_folder();
        }
        CoreDisk disk(options, device, Access::write, CoreDisk::Kind::block_device);
        const std::uint64_t size = disk.info().virtual_size;
        if (sectors > size / sector_size) {
            throw ParameterError(fmt::format("{} has {} sectors, so it cannot hold a disk of {}", device,
                                             size / sector_size, sectors));
        }
        VerbContext context = disk.context();
        ResizePlan resize = disktool::plan_resize(
            context, {.new_size = sectors == 0 ? size : sectors * sector_size, .resize_partition = true});
        const bool nothing = resize.plan.empty();
        disk.carry_out(resize.plan);
        if (!options.dry_run) {
            read_table_anew(claimed);
            options.output->say(nothing ? fmt::format("{}: nothing is to be done", device)
                                        : fmt::format("{}: {}", device, exact_size_text(resize.new_size)));
        }
        options.output->json()["new_sectors"] = resize.new_size / sector_size;
        return 0;
    } catch (const PloopError&) {
        throw;
    } catch (const Error& error) {
        throw in_words_of_resize(error);
    }
}

} // namespace disktool::ploop::cli
