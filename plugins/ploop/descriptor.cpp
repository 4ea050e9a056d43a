// SPDX-License-Identifier: LGPL-2.1-or-later
#include "descriptor.h"

#include "descriptor_document.h"
#include "header.h"
#include "ploop_error.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <span>

namespace disktool::ploop {
namespace {

/// The original's name; newer ones write Virtuozzo_disk_image, and both read both.
constexpr std::string_view root_name = "Parallels_disk_image";
constexpr std::uint32_t new_mode = 0644;

std::string read_descriptor(FileDoor& files, const std::string& path) {
    try {
        return files.read_text(path, largest_descriptor);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::not_found) {
            throw PloopError(Exit::no_descriptor, ErrorCode::not_found, error.what(), error.reason());
        }
        if (error.code() == ErrorCode::damaged) {
            throw PloopError(Exit::bad_descriptor, ErrorCode::damaged, error.what(), error.reason());
        }
        throw;
    }
}

void remove_if_there(FileDoor& files, const std::string& path) {
    if (files.status(path, false)) {
        files.remove(path);
    }
}

} // namespace

Descriptor::Descriptor() : kept_(std::make_unique<Kept>()) {}
Descriptor::Descriptor(const Descriptor& other)
    : disk_sectors(other.disk_sectors), cluster_sectors(other.cluster_sectors), mode(other.mode),
      cylinders(other.cylinders), heads(other.heads), sectors(other.sectors),
      largest_delta_sectors(other.largest_delta_sectors), key_id(other.key_id), top(other.top),
      old_format(other.old_format), images(other.images), snapshots(other.snapshots),
      kept_(std::make_unique<Kept>(*other.kept_)) {}
Descriptor::Descriptor(Descriptor&&) noexcept = default;
Descriptor& Descriptor::operator=(const Descriptor& other) {
    return *this = Descriptor(other);
}
Descriptor& Descriptor::operator=(Descriptor&&) noexcept = default;
Descriptor::~Descriptor() = default;

Descriptor Descriptor::load(FileDoor& files, const std::string& path) {
    const std::string text = read_descriptor(files, path);
    return parse(text, path, files.real_path(directory_of(path)));
}

Descriptor Descriptor::make(std::uint64_t disk_sectors, std::uint32_t cluster_sectors, DiskMode mode,
                            const std::string& image_file) {
    Descriptor made;
    Document document(xmlNewDoc(nullptr));
    if (document == nullptr) {
        throw std::bad_alloc();
    }
    xmlDocSetRootElement(document.get(), new_element(root_name));
    made.kept_->document = std::move(document);
    made.kept_->declaration = new_declaration;

    const Geometry geometry = geometry_of(disk_sectors);
    made.cluster_sectors = cluster_sectors;
    made.mode = mode;
    made.cylinders = geometry.cylinders;
    made.heads = geometry.heads;
    made.set_size(disk_sectors);
    made.top = Uuid::top();
    made.images.push_back(
        {.uuid = Uuid::top(), .raw = mode == DiskMode::raw, .file = image_file, .path = image_file});
    made.snapshots.push_back({.uuid = Uuid::top(), .parent = Uuid::none()});
    return made;
}

void Descriptor::store(FileDoor& files, const std::string& path) const {
    const std::string fresh = path + ".tmp";
    const std::string content = text();
    if (content.size() > largest_descriptor) {
        throw PloopError(
            Exit::invalid_parameter, ErrorCode::size_impossible,
            fmt::format("{} would get {} bytes; one of more than {} could not be read again. Delete "
                        "snapshots first: ploop snapshot-delete",
                        path, content.size(), largest_descriptor));
    }
    remove_if_there(files, fresh); // left by a run that was killed
    try {
        const std::unique_ptr<File> file = files.open(
            fresh, {.write = true, .create = true, .exclusive = true, .follow_links = false, .mode = new_mode});
        if (files.status(path)) {
            file->take_attributes(*files.open(path, {}));
        }
        file->write(0, std::as_bytes(std::span(content)));
        file->sync();
        files.rename(fresh, path);
    } catch (...) {
        try {
            remove_if_there(files, fresh);
        } catch (const Error&) {
            // The first error is the one to tell; the next store() removes what is left.
        }
        throw;
    }
    files.sync_directory(directory_of(path));
}

const ImageEntry* Descriptor::image(const Uuid& uuid) const {
    const auto found =
        std::find_if(images.begin(), images.end(), [&](const ImageEntry& entry) { return entry.uuid == uuid; });
    return found == images.end() ? nullptr : &*found;
}

const SnapshotEntry* Descriptor::snapshot(const Uuid& uuid) const {
    const auto found = std::find_if(snapshots.begin(), snapshots.end(),
                                    [&](const SnapshotEntry& entry) { return entry.uuid == uuid; });
    return found == snapshots.end() ? nullptr : &*found;
}

std::vector<Uuid> Descriptor::children(const Uuid& uuid) const {
    std::vector<Uuid> found;
    for (const SnapshotEntry& entry : snapshots) {
        if (entry.parent == uuid) {
            found.push_back(entry.uuid);
        }
    }
    return found;
}

std::vector<Uuid> Descriptor::chain(const Uuid& uuid) const {
    std::vector<Uuid> found;
    for (Uuid step = uuid; !step.is_none();) {
        const SnapshotEntry* entry = snapshot(step);
        // The second can only be when someone has changed `snapshots` by hand: parse() has looked.
        if (entry == nullptr || found.size() > snapshots.size()) {
            throw Error(ErrorCode::damaged,
                        fmt::format("There is no snapshot {} in the chain of {}", step.text(), uuid.text()));
        }
        found.push_back(entry->uuid);
        step = entry->parent;
    }
    if (found.empty()) {
        throw Error(ErrorCode::damaged, fmt::format("There is no snapshot {}", uuid.text()));
    }
    std::reverse(found.begin(), found.end());
    return found;
}

std::string Descriptor::new_file_name() const {
    return images.at(0).file + "." + Uuid::random().text();
}

} // namespace disktool::ploop
