// SPDX-License-Identifier: LGPL-2.1-or-later
// The XML of DiskDescriptor.xml as a tree of libxml2, and the few things done to such trees.
//
// An element is known by its local name; namespaces mean nothing here. Threads: none of this is locked, but a
// document that nobody changes may be read and copied by many.
#pragma once

#include "descriptor.h"

#include <libxml/tree.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace disktool::ploop {

/// The names of the children of an element, first to last.
using Order = std::span<const std::string_view>;

constexpr std::size_t largest_descriptor = 1 << 20; ///< bytes
constexpr std::size_t most_images = 4096;
constexpr std::size_t most_in_chain = 127; ///< deltas one over the other

struct FreeDocument {
    void operator()(xmlDoc* document) const { xmlFreeDoc(document); }
};
using Document = std::unique_ptr<xmlDoc, FreeDocument>;

/// What load() read and text() writes again. Shared by the copies of a Descriptor: never changed, text() works
/// on a copy.
struct Descriptor::Kept {
    std::shared_ptr<const xmlDoc> document;
    std::string declaration; ///< "<?xml … ?>"
    std::string folder;      ///< of the descriptor, absolute; empty: not known
};

constexpr std::string_view new_declaration = "<?xml version=\"1.0\"?>";

/// An XML document without DTD. Blanks between elements are gone: the writer lays it out anew. Throws as
/// Descriptor::load().
Document parse_document(std::string_view text, const std::string& path);
/// The declaration that `text` begins with, if what we write is that, too; else new_declaration.
std::string declaration_of(std::string_view text);
/// As the original writes it: two blanks for each level, a newline at the end.
std::string document_text(xmlDoc& document, const std::string& declaration);

bool is_element(const xmlNode* node, std::string_view name);
std::vector<xmlNode*> children_named(const xmlNode* parent, std::string_view name);
std::string content_of(const xmlNode* node);
/// Without the blanks of XML at both ends. Refers to `text`.
std::string_view without_blanks(std::string_view text);

xmlNode* new_element(std::string_view name);
void set_content(xmlNode* node, const std::string& content);
void remove_node(xmlNode* node);
/// Puts `node` behind the last child of `parent` that comes before it in `order`, else first.
void insert_in_order(xmlNode* parent, Order order, xmlNode* node);
/// The child `name` of `parent`; made, and put in its place, when it is missing.
xmlNode* child_in_order(xmlNode* parent, Order order, std::string_view name);

} // namespace disktool::ploop
