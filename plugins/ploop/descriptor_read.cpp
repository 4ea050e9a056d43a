// SPDX-License-Identifier: LGPL-2.1-or-later
// From the bytes of DiskDescriptor.xml to what they mean: all that the original lets pass, nothing that can be
// understood in two ways.
#include "descriptor.h"
#include "descriptor_document.h"
#include "header.h"
#include "image_path.h"
#include "ploop_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

namespace disktool::ploop {
namespace {

constexpr std::uint64_t most_sectors = UINT64_MAX / sector_size;
constexpr std::size_t longest_name = 4096;
constexpr std::size_t longest_key = 1024;

/// A piece of the file as it may be shown on a terminal.
std::string printable(std::string_view text) {
    std::string shown(text.substr(0, 80));
    std::replace_if(
        shown.begin(), shown.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
    return shown;
}

} // namespace

class DescriptorReader {
  public:
    DescriptorReader(std::string_view text, const std::string& path, const std::string& folder) : path_(path) {
        result_.kept_->document = parse_document(text, path);
        result_.kept_->declaration = declaration_of(text);
        result_.kept_->folder = folder;
    }

    Descriptor read() {
        const xmlNode* root = xmlDocGetRootElement(result_.kept_->document.get());
        read_parameters(only(root, "Disk_Parameters"));
        read_storage(only(only(root, "StorageData"), "Storage"));
        read_snapshots(only(root, "Snapshots"));
        settle_top();
        check_pairs();
        check_chains();
        settle_mode();
        return std::move(result_);
    }

  private:
    [[noreturn]] void refuse(const std::string& why) const {
        throw PloopError(Exit::bad_descriptor, ErrorCode::damaged,
                         fmt::format("{}: {}. Correct the file, or make it anew from the base image: ploop "
                                     "restore-descriptor",
                                     path_, why));
    }

    const xmlNode* perhaps(const xmlNode* parent, std::string_view name) const {
        const std::vector<xmlNode*> found = children_named(parent, name);
        if (found.size() > 1) {
            refuse(fmt::format("the element {} is there {} times within {}; only once is clear", name,
                               found.size(), reinterpret_cast<const char*>(parent->name)));
        }
        return found.empty() ? nullptr : found.front();
    }
    const xmlNode* only(const xmlNode* parent, std::string_view name) const {
        const xmlNode* found = perhaps(parent, name);
        if (found == nullptr) {
            refuse(fmt::format("the element {} is missing within {}", name,
                               printable(reinterpret_cast<const char*>(parent->name))));
        }
        return found;
    }

    std::string text_of(const xmlNode* node) const {
        for (const xmlNode* child = node->children; child != nullptr; child = child->next) {
            if (child->type == XML_ELEMENT_NODE) {
                refuse(fmt::format("{} holds an element instead of a value",
                                   reinterpret_cast<const char*>(node->name)));
            }
        }
        return content_of(node);
    }
    std::uint64_t number(const xmlNode* node, std::uint64_t largest) const {
        const std::string content = text_of(node);
        const std::string_view digits = without_blanks(content);
        std::uint64_t value = 0;
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() || value > largest) {
            refuse(fmt::format("{} is \"{}\", not a number from 0 to {}",
                               reinterpret_cast<const char*>(node->name), printable(content), largest));
        }
        return value;
    }
    std::uint64_t number_in(const xmlNode* parent, std::string_view name, std::uint64_t largest) const {
        const xmlNode* node = perhaps(parent, name);
        return node == nullptr ? 0 : number(node, largest);
    }
    Uuid uuid(const xmlNode* node) const {
        const std::string content = text_of(node);
        const std::optional<Uuid> value = Uuid::parse(without_blanks(content));
        if (!value) {
            refuse(fmt::format("{} is \"{}\", not a uuid", reinterpret_cast<const char*>(node->name),
                               printable(content)));
        }
        return *value;
    }

    void read_parameters(const xmlNode* node) {
        result_.disk_sectors = number_in(node, "Disk_size", most_sectors);
        result_.largest_delta_sectors = number_in(node, "Max_delta_size", most_sectors);
        result_.cylinders = number_in(node, "Cylinders", UINT64_MAX);
        result_.heads = static_cast<std::uint32_t>(number_in(node, "Heads", UINT32_MAX));
        result_.sectors = number_in(node, "Sectors", UINT64_MAX);
        if (const xmlNode* encryption = perhaps(node, "Encryption")) {
            if (const xmlNode* key = perhaps(encryption, "KeyId")) {
                result_.key_id = text_of(key);
                if (result_.key_id.size() > longest_key) {
                    refuse(fmt::format("KeyId is longer than {} bytes", longest_key));
                }
            }
        }
    }

    void read_storage(const xmlNode* node) {
        const std::uint64_t cluster = number(only(node, "Blocksize"), UINT32_MAX);
        if (!is_cluster_size(cluster)) {
            refuse(fmt::format("Blocksize is {}, not a power of two from {} to {} sectors", cluster,
                               smallest_cluster_sectors, largest_cluster_sectors));
        }
        result_.cluster_sectors = static_cast<std::uint32_t>(cluster);
        if (const xmlNode* preallocated = perhaps(node, "Preallocated")) {
            preallocated_ = number(preallocated, 1) == 1;
        }
        const std::vector<xmlNode*> images = children_named(node, "Image");
        check_count(images.size(), "Image");
        for (const xmlNode* image : images) {
            read_image(image);
        }
    }
    void check_count(std::size_t count, std::string_view name) const {
        if (count > most_images) {
            refuse(
                fmt::format("it has {} elements {}; {} are the most that are read", count, name, most_images));
        }
    }

    void read_image(const xmlNode* node) {
        ImageEntry entry;
        entry.uuid = uuid(only(node, "GUID"));
        if (const xmlNode* type = perhaps(node, "Type")) {
            const std::string content = text_of(type);
            const std::string_view word = without_blanks(content);
            if (word != "Plain" && word != "Compressed") {
                refuse(fmt::format("the Type of the image {} is \"{}\", neither Compressed nor Plain",
                                   entry.uuid.text(), printable(content)));
            }
            plain_ = plain_ || word == "Plain";
        }
        entry.file = text_of(only(node, "File"));
        if (entry.file.empty() || entry.file.size() > longest_name) {
            refuse(fmt::format("the File of the image {} has {} bytes; a name has 1 to {}", entry.uuid.text(),
                               entry.file.size(), longest_name));
        }
        entry.path = joined_path(result_.kept_->folder, entry.file);
        entry.kept = result_.images.size();
        if (!images_.insert(entry.uuid.lower()).second) {
            refuse(fmt::format("two images have the name {}", entry.uuid.text()));
        }
        result_.images.push_back(std::move(entry));
    }

    void read_snapshots(const xmlNode* node) {
        if (const xmlNode* top = perhaps(node, "TopGUID")) {
            top_ = uuid(top);
        }
        const std::vector<xmlNode*> shots = children_named(node, "Shot");
        check_count(shots.size(), "Shot");
        for (const xmlNode* shot : shots) {
            SnapshotEntry entry;
            entry.uuid = uuid(only(shot, "GUID"));
            entry.parent = uuid(only(shot, "ParentGUID"));
            entry.temporary = perhaps(shot, "Temporary") != nullptr;
            entry.kept = result_.snapshots.size();
            add_shot(std::move(entry));
        }
    }
    void add_shot(SnapshotEntry entry) {
        if (entry.uuid.is_none()) {
            refuse("a Shot has the uuid of zeros, which means \"no snapshot\"");
        }
        if (!shots_.emplace(entry.uuid.lower(), result_.snapshots.size()).second) {
            refuse(fmt::format("two snapshots have the name {}", entry.uuid.text()));
        }
        result_.snapshots.push_back(std::move(entry));
    }

    /// Old files have no Shot for the top, or no TopGUID.
    void settle_top() {
        if (!top_ && !shots_.contains(Uuid::top().lower()) && !images_.contains(Uuid::top().lower())) {
            refuse("there is no TopGUID, and no snapshot has the name that the top has by default");
        }
        result_.top = top_.value_or(Uuid::top());
        result_.old_format = result_.top != Uuid::top();
        if (!shots_.contains(result_.top.lower()) && images_.contains(result_.top.lower()) &&
            result_.images.size() == result_.snapshots.size() + 1) {
            add_shot({.uuid = result_.top, .parent = parent_of_missing_top()});
        }
        const auto found = shots_.find(result_.top.lower());
        if (found == shots_.end()) {
            refuse(fmt::format("TopGUID is {}, but there is no such Shot", result_.top.text()));
        }
        if (result_.snapshots[found->second].temporary) {
            refuse(fmt::format("the top {} is marked Temporary, so it could be removed at any time",
                               result_.top.text()));
        }
    }
    /// The one snapshot that nothing lies on.
    Uuid parent_of_missing_top() const {
        std::set<std::string> leaves;
        for (const SnapshotEntry& entry : result_.snapshots) {
            leaves.insert(entry.uuid.lower());
        }
        for (const SnapshotEntry& entry : result_.snapshots) {
            leaves.erase(entry.parent.lower());
        }
        if (result_.snapshots.empty()) {
            return Uuid::none();
        }
        if (leaves.size() != 1) {
            refuse(fmt::format("the Shot of the top {} is missing, and {} snapshots could be its parent",
                               result_.top.text(), leaves.size()));
        }
        return Uuid::parse(*leaves.begin()).value();
    }

    void check_pairs() const {
        for (const ImageEntry& entry : result_.images) {
            if (!shots_.contains(entry.uuid.lower())) {
                refuse(fmt::format("the image {} has no Shot of the same GUID", entry.uuid.text()));
            }
        }
        for (const SnapshotEntry& entry : result_.snapshots) {
            if (!images_.contains(entry.uuid.lower())) {
                refuse(fmt::format("the snapshot {} has no Image of the same GUID", entry.uuid.text()));
            }
            if (!entry.parent.is_none() && !shots_.contains(entry.parent.lower())) {
                refuse(fmt::format("the snapshot {} has the parent {}, which is not there", entry.uuid.text(),
                                   entry.parent.text()));
            }
        }
    }

    /// Each chain ends at a base, and is not too long; so a cycle is found, too.
    void check_chains() const {
        for (const SnapshotEntry& entry : result_.snapshots) {
            const SnapshotEntry* step = &entry;
            for (std::size_t length = 1; !step->parent.is_none(); ++length) {
                if (length == most_in_chain) {
                    refuse(
                        fmt::format("the chain below the snapshot {} is a cycle, or longer than the {} images "
                                    "that a disk may have",
                                    entry.uuid.text(), most_in_chain));
                }
                step = &result_.snapshots[shots_.at(step->parent.lower())];
            }
        }
    }

    void settle_mode() {
        if (plain_ && preallocated_) {
            refuse("Preallocated is 1 and an image has the Type Plain; a disk cannot be both");
        }
        result_.mode = plain_ ? DiskMode::raw : preallocated_ ? DiskMode::preallocated : DiskMode::expanded;
        for (ImageEntry& entry : result_.images) {
            entry.raw = plain_ && result_.snapshots[shots_.at(entry.uuid.lower())].parent.is_none();
        }
    }

    const std::string& path_;
    Descriptor result_;
    std::optional<Uuid> top_;
    bool plain_ = false;
    bool preallocated_ = false;
    // By uuid in lower case; for snapshots, their place.
    std::set<std::string> images_;
    std::map<std::string, std::size_t> shots_;
};

Descriptor Descriptor::parse(std::string_view text, const std::string& path, const std::string& folder) {
    return DescriptorReader(text, path, folder).read();
}

} // namespace disktool::ploop
