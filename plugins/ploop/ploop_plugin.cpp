// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device_image.h"
#include "image.h"
#include "left_over.h"
#include "membership.h"
#include "new_image.h"
#include "new_names.h"
#include "operations.h"
#include "plugin.h"
#include "raw_work.h"
#include "running.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>

namespace disktool::ploop {

namespace {

constexpr std::string_view signature_v1 = "WithoutFreeSpace";
constexpr std::string_view signature_v2 = "WithouFreSpacExt";

std::uint32_t number(const std::string& name, const DetailValue& value) {
    if (const auto* integer = std::get_if<std::uint64_t>(&value)) {
        return static_cast<std::uint32_t>(std::min<std::uint64_t>(*integer, UINT32_MAX));
    }
    if (const auto* text = std::get_if<std::string>(&value)) {
        std::uint32_t result = 0;
        const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), result);
        if (error == std::errc() && end == text->data() + text->size()) {
            return result;
        }
    }
    throw Error(ErrorCode::usage, fmt::format("the option {} of a ploop image must be a number", name));
}

/// The usual one where the disk is a multiple of it: a disk ends with a whole cluster.
std::uint32_t fitting_cluster(std::uint64_t sectors) {
    std::uint32_t cluster = default_cluster_sectors;
    while (cluster > smallest_cluster_sectors && sectors % cluster != 0) {
        cluster /= 2;
    }
    return cluster;
}

NewDelta new_delta(const CreateRequest& request) {
    const std::uint64_t sectors =
        request.virtual_size / sector_size + (request.virtual_size % sector_size != 0);
    NewDelta delta;
    delta.cluster_sectors = fitting_cluster(sectors);
    for (const auto& [name, value] : request.options) {
        if (name == "version") {
            delta.version = number(name, value) == 1 ? Version::v1 : Version::v2;
        } else if (name == "cluster_sectors") {
            delta.cluster_sectors = number(name, value);
        } else {
            throw Error(ErrorCode::usage, fmt::format("a ploop image has no option \"{}\" (there are: version, "
                                                      "cluster_sectors)",
                                                      name));
        }
    }
    if (!is_cluster_size(delta.cluster_sectors)) {
        throw Error(ErrorCode::usage,
                    fmt::format("a ploop cluster is a power of two from {} to {} sectors, not {}",
                                smallest_cluster_sectors, largest_cluster_sectors, delta.cluster_sectors));
    }
    delta.disk_sectors = (sectors + delta.cluster_sectors - 1) / delta.cluster_sectors * delta.cluster_sectors;
    if (delta.disk_sectors > largest_disk(delta.version, delta.cluster_sectors)) {
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{}: a ploop image of this version and cluster size cannot be that large",
                                request.path),
                    Reason::size_too_large);
    }
    return delta;
}

/// Killed in it, a run leaves a disk whose image has, for the while, another name than it will.
bool file_is_changing(const Descriptor& descriptor) {
    return raw_work_unfinished(descriptor) || replacing_unfinished(descriptor);
}

void make_file(Doors doors, const CreateRequest& request) {
    const std::unique_ptr<File> file =
        doors.files.open(request.path, {.write = true, .create = true, .exclusive = true});
    Delta::create(*file, new_delta(request));
}

} // namespace

Plugin::~Plugin() = default;

int Plugin::probe(std::span<const std::byte> head, const std::string&) {
    const std::string_view text(reinterpret_cast<const char*>(head.data()),
                                std::min<std::size_t>(head.size(), 16));
    return text == signature_v1 || text == signature_v2 ? 100 : 0;
}

std::unique_ptr<disktool::Image> Plugin::open(std::unique_ptr<ImageOpener> opener) {
    if (opener->file().status().type == FileType::block_device) {
        return std::make_unique<DeviceImage>(std::move(opener));
    }
    return std::make_unique<Image>(std::move(opener));
}

void Plugin::create(Doors doors, const CreateRequest& request) {
    make_file(doors, request);
}

std::unique_ptr<WorkingDisk> Plugin::create_disk(Doors doors, const CreateRequest& request) {
    make_file(doors, request);
    return open_new_image(doors, request.path);
}

std::optional<std::string> Plugin::image_behind(Doors doors, const std::string& path, Access access) {
    const std::optional<std::string> descriptor = descriptor_at(doors.files, path);
    if (!descriptor) {
        return std::nullopt;
    }
    // An interrupted merge takes the file with it that is the top now.
    const bool interrupted = doors.files.status(job_path(*descriptor), false) &&
                             !running_device(doors.files, top_of(doors.files, *descriptor));
    if (access == Access::write &&
        (interrupted || file_is_changing(Descriptor::load(doors.files, *descriptor)))) {
        PloopDisk::open(doors, *descriptor, {}); // which finishes the change
    }
    return top_of(doors.files, *descriptor);
}

std::optional<std::string> Plugin::backing_name(File& file) {
    const std::optional<Membership> membership = membership_of(real_doors().files, file.path());
    const ImageEntry* parent = membership ? membership->parent() : nullptr;
    return parent == nullptr ? std::nullopt : std::optional(parent->file);
}

} // namespace disktool::ploop
