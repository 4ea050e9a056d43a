// SPDX-License-Identifier: LGPL-2.1-or-later
#include <disktool/error.h>
#include <disktool/format.h>

#include <fmt/format.h>

namespace disktool {

namespace {

[[noreturn]] void refuse(const Image& image, std::string_view operation) {
    throw Error(ErrorCode::unsupported,
                fmt::format("{}: the plugin for format {} cannot {} images", image.info().path,
                            image.info().format, operation),
                Reason::capability_missing);
}

} // namespace

Image::~Image() = default;
ImageOpener::~ImageOpener() = default;
FormatPlugin::~FormatPlugin() = default;

void Image::plan_resize(Plan&, const ResizeRequest&) {
    refuse(*this, "resize");
}

CompactEstimate Image::plan_compact(Plan&, const ExtentSet&) {
    refuse(*this, "compact");
}

CompactEstimate Image::estimate_compact(const ExtentSet&) {
    refuse(*this, "compact");
}

// A format whose steps leave nothing behind has nothing to mend.
void Image::plan_mend(Plan&) {}

CheckReport Image::check() {
    refuse(*this, "check");
}

WorkingDisk::~WorkingDisk() = default;

// Sharing is an economy that a format may do without.
bool WorkingDisk::take_from(std::uint64_t, File&, Range) {
    return false;
}

// Without a chain, all is the image's own.
ExtentSet Image::own_extents(Range range) {
    return ExtentSet(range);
}

std::vector<HostExtent> Image::host_extents(Range) {
    return {};
}

Allocation Image::allocation() {
    return Allocation::expanding;
}

std::unique_ptr<WorkingDisk> Image::begin_work(std::uint64_t) {
    refuse(*this, "change the content of");
}

bool Image::plan_merge_all(Plan&) {
    return false;
}

std::optional<std::string> FormatPlugin::image_behind(Doors, const std::string&, Access) {
    return std::nullopt;
}

void FormatPlugin::create(Doors, const CreateRequest& request) {
    throw Error(ErrorCode::unsupported,
                fmt::format("{}: the plugin for its format cannot create images", request.path),
                Reason::capability_missing);
}

std::optional<std::string> FormatPlugin::backing_name(File&) {
    return std::nullopt;
}

std::unique_ptr<WorkingDisk> FormatPlugin::create_disk(Doors, const CreateRequest& request) {
    throw Error(ErrorCode::unsupported,
                fmt::format("{}: the plugin for its format cannot create images with content", request.path),
                Reason::capability_missing);
}

} // namespace disktool
