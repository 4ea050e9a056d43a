// SPDX-License-Identifier: LGPL-2.1-or-later
// A larger block device; partition table and file system stay as they are.
#include "command.h"
#include "running_devices.h"
#include "words.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <utility>

namespace disktool::ploop::cli {

namespace {

/// The original lets raw images end on pages.
constexpr std::uint64_t raw_alignment = 4096;

class GrowDelta final : public Step {
  public:
    GrowDelta(std::string path, std::uint64_t sectors, Say say)
        : path_(std::move(path)), sectors_(sectors), say_(std::move(say)) {}
    std::string kind() const override { return "ploop.grow-delta"; }
    std::string text() const override { return fmt::format("grow {} to {} sectors", path_, sectors_); }
    void commit(StepContext& context) override {
        say_(fmt::format("Opening delta {}", path_));
        const auto delta = Delta::open(context.doors().files.open(path_, {.write = true}), Access::write);
        delta->begin();
        delta->grow(sectors_);
        delta->end();
    }
    std::string needs_no_undo() const override {
        return "the disk keeps its content at every moment; an image that was being grown is marked in use, "
               "and "
               "ploop check -d closes it";
    }

  private:
    std::string path_;
    std::uint64_t sectors_;
    Say say_;
};

class GrowRaw final : public Step {
  public:
    GrowRaw(std::string path, std::uint64_t bytes) : path_(std::move(path)), bytes_(bytes) {}
    std::string kind() const override { return "ploop.grow-raw"; }
    std::string text() const override { return fmt::format("make {} {} long", path_, exact_size_text(bytes_)); }
    void commit(StepContext& context) override {
        const std::unique_ptr<File> file = context.doors().files.open(path_, {.write = true});
        file->truncate(bytes_);
        file->sync();
    }
    std::string needs_no_undo() const override { return "what is added behind the end reads as zeros"; }

  private:
    std::string path_;
    std::uint64_t bytes_;
};

void refuse_smaller(const std::string& path, std::uint64_t sectors, std::uint64_t now) {
    if (sectors < now) {
        throw ParameterError(
            fmt::format("{} has {} sectors, more than the {} asked for: ploop grow makes it larger only", path,
                        now, sectors));
    }
}

Plan plan_grow_file(const Options& options, const std::string& path, std::uint64_t sectors, bool raw) {
    Plan plan("grow", path);
    std::unique_ptr<File> file = real_doors().files.open(path, {});
    if (raw) {
        const std::uint64_t now = file->status().size;
        const std::uint64_t bytes = round_up(sectors * sector_size, raw_alignment);
        refuse_smaller(path, sectors, now / sector_size);
        if (bytes > now) {
            plan.add(std::make_unique<GrowRaw>(path, bytes));
        }
        return plan;
    }
    const auto delta = Delta::open(std::move(file), Access::read);
    const Header& header = delta->header();
    refuse_smaller(path, sectors, header.disk_sectors);
    if (sectors % header.cluster_sectors != 0) {
        throw ParameterError(fmt::format("{} sectors are no multiple of the cluster of {}, which is {} sectors",
                                         sectors, path, header.cluster_sectors));
    }
    if (sectors > largest_disk(header.version, header.cluster_sectors)) {
        throw ParameterError(fmt::format("{} sectors are more than an image of version {} can have ({})",
                                         sectors, static_cast<unsigned>(header.version),
                                         largest_disk(header.version, header.cluster_sectors)));
    }
    if (sectors > header.disk_sectors) {
        plan.add(std::make_unique<GrowDelta>(path, sectors, say_of(options)));
    }
    return plan;
}

int grow_running(const Options& options, const DeviceState& device, std::uint64_t sectors) {
    return carry_out(options, device,
                     {"grow", {{"sectors", sectors}}, fmt::format("make it {} sectors large", sectors), false});
}

} // namespace

int run_grow(Options& options, const std::vector<std::string>& words) {
    std::uint64_t sectors = 0;
    bool raw = false;
    std::string node;
    CommandLine line(options, words, "f:d:s:");
    while (const char letter = line.next()) {
        switch (letter) {
        case 'f':
            raw = parse_format(line.value()) == DiskMode::raw;
            break;
        case 'd':
            node = line.value();
            break;
        default:
            sectors = parse_size("-s", line.value());
        }
    }
    const std::string operand = line.operands(node.empty() ? 1 : 0).empty() ? "" : line.operand();
    if (sectors == 0) {
        throw UsageError("");
    }
    if (!node.empty()) {
        return grow_running(options, device_of_word(node), sectors);
    }
    if (const std::optional<std::string> descriptor = descriptor_of(real_doors().files, operand)) {
        if (const std::optional<DeviceState> running = writer_of_disk(*descriptor)) {
            return grow_running(options, *running, sectors);
        }
        const std::unique_ptr<PloopDisk> disk = open_disk(options, *descriptor, Access::write);
        Plan plan = plan_grow(*disk, sectors);
        return carry_out(options, plan);
    }
    refuse_running_image(operand, Exit::dirty);
    Plan plan = plan_grow_file(options, operand, sectors, raw);
    return carry_out(options, plan);
}

} // namespace disktool::ploop::cli
