// SPDX-License-Identifier: LGPL-2.1-or-later
// What a Descriptor says, put into the document that was read: an element keeps its text while that still means
// the same, and what we do not know stays where it is.
#include "descriptor.h"
#include "descriptor_document.h"

#include <fmt/format.h>

#include <charconv>
#include <new>
#include <utility>

namespace disktool::ploop {
namespace {

using Names = std::string_view[];
constexpr Names root_order = {"Disk_Parameters", "StorageData", "Snapshots"};
constexpr Names parameters_order = {"Disk_size", "Max_delta_size", "Cylinders", "Heads",
                                    "Sectors",   "Padding",        "Encryption"};
constexpr Names encryption_order = {"KeyId"};
constexpr Names data_order = {"Storage"};
constexpr Names storage_order = {"Start", "End", "Blocksize", "Preallocated", "Image"};
constexpr Names image_order = {"GUID", "Type", "File"};
constexpr Names snapshots_order = {"TopGUID", "Shot"};
constexpr Names shot_order = {"GUID", "ParentGUID", "Temporary"};

void put_text(xmlNode* parent, Order order, std::string_view name, const std::string& value) {
    xmlNode* node = child_in_order(parent, order, name);
    if (content_of(node) != value) {
        set_content(node, value);
    }
}

void put_number(xmlNode* parent, Order order, std::string_view name, std::uint64_t value) {
    xmlNode* node = child_in_order(parent, order, name);
    const std::string content = content_of(node);
    const std::string_view old = without_blanks(content);
    std::uint64_t present = 0;
    const auto [end, error] = std::from_chars(old.data(), old.data() + old.size(), present);
    if (error != std::errc() || end != old.data() + old.size() || present != value) {
        set_content(node, fmt::format("{}", value));
    }
}

void put_uuid(xmlNode* parent, Order order, std::string_view name, const Uuid& value) {
    xmlNode* node = child_in_order(parent, order, name);
    if (Uuid::parse(without_blanks(content_of(node))) != value) {
        set_content(node, value.text());
    }
}

void drop(xmlNode* parent, std::string_view name) {
    for (xmlNode* node : children_named(parent, name)) {
        remove_node(node);
    }
}

/// Written when it is not 0, or was there.
void put_optional(xmlNode* parent, Order order, std::string_view name, std::uint64_t value) {
    if (value != 0 || !children_named(parent, name).empty()) {
        put_number(parent, order, name, value);
    }
}

void write_parameters(const Descriptor& from, xmlNode* node) {
    put_number(node, parameters_order, "Disk_size", from.disk_sectors);
    if (from.largest_delta_sectors != 0) {
        put_number(node, parameters_order, "Max_delta_size", from.largest_delta_sectors);
    } else {
        drop(node, "Max_delta_size");
    }
    put_optional(node, parameters_order, "Cylinders", from.cylinders);
    put_optional(node, parameters_order, "Heads", from.heads);
    // Two divisions: the product may not fit.
    const bool known = from.cylinders != 0 && from.heads != 0;
    put_optional(node, parameters_order, "Sectors",
                 known ? from.disk_sectors / from.cylinders / from.heads : from.sectors);
    if (children_named(node, "Padding").empty()) {
        put_number(node, parameters_order, "Padding", 0);
    }
    if (!from.key_id.empty()) {
        put_text(child_in_order(node, parameters_order, "Encryption"), encryption_order, "KeyId", from.key_id);
    } else {
        for (xmlNode* encryption : children_named(node, "Encryption")) {
            drop(encryption, "KeyId");
            if (encryption->children == nullptr) {
                remove_node(encryption);
            }
        }
    }
}

xmlNode* next_named(xmlNode* node, std::string_view name) {
    while (node != nullptr && !is_element(node, name)) {
        node = node->next;
    }
    return node;
}

/// The elements `name` of `parent` become one for each entry, in their order: kept ones stay where they are if
/// that fits, new ones go behind the one before, others go.
template <typename Entry>
std::vector<xmlNode*> elements_for(const std::vector<Entry>& entries, xmlNode* parent, Order order,
                                   std::string_view name) {
    std::vector<xmlNode*> old = children_named(parent, name);
    std::vector<xmlNode*> elements(entries.size(), nullptr);
    for (std::size_t i = 0; i < entries.size(); ++i) {
        if (entries[i].kept < old.size()) {
            // Of two entries from one element, the second gets a new one.
            elements[i] = std::exchange(old[entries[i].kept], nullptr);
        }
    }
    for (xmlNode* gone : old) {
        if (gone != nullptr) {
            remove_node(gone);
        }
    }
    xmlNode* last = nullptr;
    for (xmlNode*& element : elements) {
        const bool made = element == nullptr;
        if (made) {
            element = new_element(name);
        }
        xmlNode* here = next_named(last == nullptr ? parent->children : last->next, name);
        if (last != nullptr && here != element) {
            xmlAddNextSibling(last, element);
        } else if (here == nullptr) {
            insert_in_order(parent, order, element);
        } else if (here != element) {
            xmlAddPrevSibling(here, element);
        }
        last = element;
    }
    return elements;
}

void write_storage(const Descriptor& from, xmlNode* node) {
    if (children_named(node, "Start").empty()) {
        put_number(node, storage_order, "Start", 0);
    }
    put_number(node, storage_order, "End", from.disk_sectors);
    put_number(node, storage_order, "Blocksize", from.cluster_sectors);
    if (from.mode == DiskMode::preallocated) {
        put_number(node, storage_order, "Preallocated", 1);
    } else {
        drop(node, "Preallocated");
    }
    const std::vector<xmlNode*> elements = elements_for(from.images, node, storage_order, "Image");
    for (std::size_t i = 0; i < elements.size(); ++i) {
        put_uuid(elements[i], image_order, "GUID", from.images[i].uuid);
        const std::string type = from.mode == DiskMode::raw ? "Plain" : "Compressed";
        put_text(elements[i], image_order, "Type", type);
        put_text(elements[i], image_order, "File", from.images[i].file);
    }
}

void write_snapshots(const Descriptor& from, xmlNode* node) {
    put_uuid(node, snapshots_order, "TopGUID", from.top);
    const std::vector<xmlNode*> elements = elements_for(from.snapshots, node, snapshots_order, "Shot");
    for (std::size_t i = 0; i < elements.size(); ++i) {
        const SnapshotEntry& entry = from.snapshots[i];
        put_uuid(elements[i], shot_order, "GUID", entry.uuid);
        put_uuid(elements[i], shot_order, "ParentGUID", entry.parent);
        if (entry.temporary) {
            child_in_order(elements[i], shot_order, "Temporary");
        } else {
            drop(elements[i], "Temporary");
        }
    }
}

} // namespace

std::string Descriptor::text() const {
    // Deep, with the declarations of namespaces. Nothing in it is shared with the one that is kept.
    const Document document(xmlCopyDoc(const_cast<xmlDoc*>(kept_->document.get()), 1));
    if (document == nullptr) {
        throw std::bad_alloc();
    }
    xmlNode* root = xmlDocGetRootElement(document.get());
    write_parameters(*this, child_in_order(root, root_order, "Disk_Parameters"));
    xmlNode* data = child_in_order(root, root_order, "StorageData");
    write_storage(*this, child_in_order(data, data_order, "Storage"));
    write_snapshots(*this, child_in_order(root, root_order, "Snapshots"));
    return document_text(*document, kept_->declaration);
}

} // namespace disktool::ploop
