// SPDX-License-Identifier: LGPL-2.1-or-later
#include <disktool/error.h>
#include <disktool/filesystem.h>
#include <disktool/volumes.h>

#include <fmt/format.h>

#include <utility>
#include <vector>

namespace disktool {

Filesystem::~Filesystem() = default;
FilesystemPlugin::~FilesystemPlugin() = default;
Volumes::~Volumes() = default;
VolumesPlugin::~VolumesPlugin() = default;

void Filesystem::plan_resize(Plan&, const FilesystemResize&) {
    throw Error(ErrorCode::unsupported,
                fmt::format("the plugin for {} cannot change the size of a file system", type()),
                Reason::capability_missing);
}

std::uint64_t Volume::size() const {
    return segments.empty() ? 0 : segments.back().volume_offset + segments.back().place.length;
}

ExtentSet Volumes::to_device(const Volume& volume, const ExtentSet& bytes) const {
    std::vector<Range> places;
    for (const VolumeSegment& segment : volume.segments) {
        const Range in_volume{segment.volume_offset, segment.place.length};
        for (const Range& part : bytes.clip(in_volume)) {
            places.push_back({segment.place.offset + (part.offset - segment.volume_offset), part.length});
        }
    }
    return ExtentSet::from_unsorted(std::move(places));
}

} // namespace disktool
