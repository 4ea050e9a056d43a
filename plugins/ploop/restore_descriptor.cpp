// SPDX-License-Identifier: LGPL-2.1-or-later
// A descriptor for an image that has lost its own.
#include "disk_change.h"
#include "image_path.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <array>

namespace disktool::ploop {

namespace {

constexpr std::uint32_t largest_guess = 2048; // sectors

class MakeDescriptorStep final : public Step {
  public:
    MakeDescriptorStep(Descriptor descriptor, std::string path, Say say)
        : descriptor_(std::move(descriptor)), path_(std::move(path)), say_(std::move(say)) {}
    std::string kind() const override { return "ploop.make-descriptor"; }
    std::string text() const override {
        return fmt::format("Make {} for {}", path_, descriptor_.images.front().file);
    }
    Details details() const override {
        return {{"descriptor", path_},
                {"sectors", descriptor_.disk_sectors},
                {"cluster_sectors", std::uint64_t{descriptor_.cluster_sectors}}};
    }
    void commit(StepContext& context) override {
        if (say_) {
            say_(fmt::format("Storing {}", path_));
        }
        descriptor_.store(context.doors().files, path_);
    }
    std::string needs_no_undo() const override { return "the descriptor is there wholly or not at all"; }

  private:
    Descriptor descriptor_;
    std::string path_;
    Say say_;
};

std::uint32_t guessed_cluster(std::uint64_t sectors) {
    for (std::uint32_t cluster = largest_guess; cluster >= smallest_cluster_sectors; cluster /= 2) {
        if (sectors % cluster == 0) {
            return cluster;
        }
    }
    return smallest_cluster_sectors;
}

Descriptor of_raw(File& file, const RestoreRequest& request, const std::string& name) {
    const std::uint64_t size = file.status().size;
    const std::uint64_t sectors = size / sector_size;
    if (request.cluster_sectors != 0 && !is_cluster_size(request.cluster_sectors)) {
        refuse(fmt::format("{} sectors is no size for a cluster: a power of two from {} to {} is needed",
                           request.cluster_sectors, smallest_cluster_sectors, largest_cluster_sectors));
    }
    const std::uint32_t cluster =
        request.cluster_sectors != 0 ? request.cluster_sectors : guessed_cluster(sectors);
    if (size == 0 || size % (cluster * sector_size) != 0) {
        refuse(fmt::format(
            "{} has {}, which is not a multiple of the cluster, {}; make it longer, or give another "
            "cluster size (-b)",
            file.path(), exact_size_text(size), size_text(cluster * sector_size)));
    }
    return Descriptor::make(sectors, cluster, DiskMode::raw, name);
}

/// The header alone: an image that needs a check can have its descriptor first.
Descriptor of_image(File& file, const std::string& name) {
    std::array<std::byte, header_size> bytes{};
    file.read(0, bytes);
    const Header header = parse_header(bytes, file.path());
    check_header(header, file.path());
    return Descriptor::make(header.disk_sectors, header.cluster_sectors, DiskMode::expanded, name);
}

} // namespace

Plan plan_restore_descriptor(Doors doors, const RestoreRequest& request, const Say& say) {
    FileDoor& files = doors.files;
    const std::optional<FileStatus> status = files.status(request.folder);
    if (!status || status->type != FileType::directory) {
        refuse(fmt::format("There is no folder {} for the descriptor", request.folder));
    }
    const std::string folder = files.real_path(request.folder);
    const std::string path = joined_path(folder, "DiskDescriptor.xml");
    if (files.status(path, false)) {
        refuse(fmt::format("{} exists already; move it away if it is not the right one", path));
    }
    const auto file = files.open(request.image, {});
    if (file->status().type != FileType::regular) {
        throw PloopError(Exit::image_open, ErrorCode::unsupported,
                         fmt::format("{} is not a regular file, and so no image of a disk", request.image));
    }
    const std::string name = stored_name(folder, files.real_path(request.image));
    Plan plan("restore-descriptor", path);
    plan.add(std::make_unique<MakeDescriptorStep>(
        request.raw ? of_raw(*file, request, name) : of_image(*file, name), path, say));
    return plan;
}

} // namespace disktool::ploop
