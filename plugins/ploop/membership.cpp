// SPDX-License-Identifier: LGPL-2.1-or-later
#include "membership.h"

#include <disktool/error.h>
#include <disktool/log.h>

#include <algorithm>

namespace disktool::ploop {

namespace {

constexpr std::string_view usual_name = "DiskDescriptor.xml";
constexpr std::size_t most_candidates = 64;

bool names_same_file(FileDoor& files, const std::string& one, const FileStatus& other) {
    const std::optional<FileStatus> status = files.status(one);
    return status && status->same_file(other);
}

} // namespace

const ImageEntry* Membership::parent() const {
    const SnapshotEntry* own = descriptor.snapshot(uuid);
    return own == nullptr || own->parent.is_none() ? nullptr : descriptor.image(own->parent);
}

std::optional<Membership> membership_of(FileDoor& files, const std::string& image_path) {
    const std::optional<FileStatus> image = files.status(image_path);
    if (!image) {
        return std::nullopt;
    }
    const std::string folder = directory_of(image_path);
    std::vector<std::string> names = files.list(folder);
    std::erase_if(names, [](const std::string& name) { return !name.ends_with(".xml"); });
    std::ranges::sort(names, [](const std::string& one, const std::string& other) {
        return std::pair(one != usual_name, one) < std::pair(other != usual_name, other);
    });
    names.resize(std::min(names.size(), most_candidates));
    for (const std::string& name : names) {
        const std::string path = folder + "/" + name;
        std::optional<Descriptor> descriptor;
        try {
            descriptor = Descriptor::load(files, path);
        } catch (const Error& error) {
            if (name == usual_name) {
                throw;
            }
            log(LogLevel::debug, error.what());
            continue;
        }
        for (const ImageEntry& entry : descriptor->images) {
            const std::string file = entry.file.starts_with('/') ? entry.file : folder + "/" + entry.file;
            if (names_same_file(files, file, *image)) {
                return Membership{path, *descriptor, entry.uuid};
            }
        }
    }
    return std::nullopt;
}

std::optional<std::string> descriptor_at(FileDoor& files, const std::string& path) {
    const std::optional<FileStatus> status = files.status(path);
    if (status && status->type == FileType::directory) {
        const std::string descriptor = path + "/" + std::string(usual_name);
        return files.status(descriptor) ? std::optional(descriptor) : std::nullopt;
    }
    return status && path.ends_with(".xml") ? std::optional(path) : std::nullopt;
}

std::string top_of(FileDoor& files, const std::string& descriptor_path) {
    const Descriptor loaded = Descriptor::load(files, descriptor_path);
    const ImageEntry* top = loaded.image(loaded.top);
    if (top == nullptr) {
        throw Error(ErrorCode::damaged, descriptor_path + ": the image of its top is not listed");
    }
    return resolve(files, descriptor_path, *top, {});
}

} // namespace disktool::ploop
