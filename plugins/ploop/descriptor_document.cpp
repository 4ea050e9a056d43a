// SPDX-License-Identifier: LGPL-2.1-or-later
#include "descriptor_document.h"

#include "ploop_error.h"

#include <fmt/format.h>
#include <libxml/parser.h>
#include <libxml/xmlsave.h>

#include <algorithm>
#include <new>

namespace disktool::ploop {
namespace {

constexpr int deepest = 32; ///< elements in elements; the format has 5

const xmlChar* xml(const char* text) {
    return reinterpret_cast<const xmlChar*>(text);
}
const char* plain(const xmlChar* text) {
    return reinterpret_cast<const char*>(text);
}

struct FreeContext {
    void operator()(xmlParserCtxt* context) const { xmlFreeParserCtxt(context); }
};
struct FreeText {
    void operator()(xmlChar* text) const { xmlFree(text); }
};
struct FreeBuffer {
    void operator()(xmlBuffer* buffer) const { xmlBufferFree(buffer); }
};

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
    throw PloopError(Exit::bad_descriptor, ErrorCode::damaged,
                     fmt::format("{}: {}. Put a sound DiskDescriptor.xml there, or make one anew from the base "
                                 "image: ploop restore-descriptor",
                                 path, why));
}

/// Called at "<!DOCTYPE name", before anything in the DTD is read: no entity of it is ever declared, let alone
/// expanded.
void stop_at_dtd(void* parser, const xmlChar*, const xmlChar*, const xmlChar*) {
    auto* context = static_cast<xmlParserCtxt*>(parser);
    *static_cast<bool*>(context->_private) = true;
    xmlStopParser(context);
}

std::string error_text(xmlParserCtxt* context) {
    const auto* error = xmlCtxtGetLastError(context);
    if (error == nullptr || error->message == nullptr) {
        return "it is not XML";
    }
    std::string message = error->message;
    // It quotes the file, which may hold anything.
    std::replace_if(
        message.begin(), message.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
    message.erase(message.find_last_not_of(' ') + 1);
    return fmt::format("it is not well-formed XML: line {}: {}", error->line, message);
}

bool is_blank_text(const xmlNode* node) {
    return node->type == XML_TEXT_NODE && xmlIsBlankNode(node) == 1;
}

bool has_element(const xmlNode* parent) {
    for (const xmlNode* node = parent->children; node != nullptr; node = node->next) {
        if (node->type == XML_ELEMENT_NODE) {
            return true;
        }
    }
    return false;
}

void drop_blank_texts(xmlNode* parent) {
    for (xmlNode* node = parent->children; node != nullptr;) {
        xmlNode* next = node->next;
        if (is_blank_text(node)) {
            remove_node(node);
        }
        node = next;
    }
}

void drop_blanks(xmlNode* parent, int depth, const std::string& path) {
    if (depth > deepest) {
        refuse(path, fmt::format("its elements lie more than {} deep in each other", deepest));
    }
    if (has_element(parent)) {
        drop_blank_texts(parent);
    }
    for (xmlNode* node = parent->children; node != nullptr; node = node->next) {
        if (node->type == XML_ELEMENT_NODE) {
            drop_blanks(node, depth + 1, path);
        }
    }
}

} // namespace

Document parse_document(std::string_view text, const std::string& path) {
    if (text.size() > largest_descriptor) {
        refuse(path, fmt::format("it is larger than {} bytes", largest_descriptor));
    }
    const std::unique_ptr<xmlParserCtxt, FreeContext> context(xmlNewParserCtxt());
    if (context == nullptr) {
        throw std::bad_alloc();
    }
    bool has_dtd = false;
    context->_private = &has_dtd;
    context->sax->internalSubset = stop_at_dtd;
    context->sax->externalSubset = stop_at_dtd;
    // No entities (NOENT is not set), no DTD (nor its defaults), no network, no limits lifted (HUGE). The
    // encoding is fixed, so that no converter of the host sees hostile bytes.
    constexpr int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NODICT |
                            XML_PARSE_NOCDATA | XML_PARSE_IGNORE_ENC;
    Document document(xmlCtxtReadMemory(context.get(), text.data(), static_cast<int>(text.size()), nullptr,
                                        "UTF-8", options));
    if (has_dtd || (document != nullptr && xmlGetIntSubset(document.get()) != nullptr)) {
        refuse(path, "it has a DTD, which a DiskDescriptor.xml never has");
    }
    if (document == nullptr || context->wellFormed != 1 || xmlDocGetRootElement(document.get()) == nullptr) {
        refuse(path, error_text(context.get()));
    }
    drop_blanks(xmlDocGetRootElement(document.get()), 1, path);
    return document;
}

std::string declaration_of(std::string_view text) {
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (text.starts_with(byte_order_mark)) {
        text.remove_prefix(byte_order_mark.size());
    }
    const std::size_t end = text.find("?>");
    if (!text.starts_with("<?xml ") || end == std::string_view::npos) {
        return std::string(new_declaration);
    }
    const std::string_view declaration = text.substr(0, end + 2);
    std::string lower(declaration);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    const bool ours = lower.find("encoding") == std::string::npos || lower.find("utf-8") != std::string::npos;
    return std::string(ours ? declaration : new_declaration);
}

std::string document_text(xmlDoc& document, const std::string& declaration) {
    const std::unique_ptr<xmlBuffer, FreeBuffer> buffer(xmlBufferCreate());
    if (buffer == nullptr) {
        throw std::bad_alloc();
    }
    xmlSaveCtxt* save =
        xmlSaveToBuffer(buffer.get(), "UTF-8", XML_SAVE_FORMAT | XML_SAVE_NO_DECL | XML_SAVE_AS_XML);
    if (save == nullptr) {
        throw std::bad_alloc();
    }
    const bool written = xmlSaveDoc(save, &document) >= 0;
    if (xmlSaveClose(save) < 0 || !written) {
        throw Error(ErrorCode::failure, "The text of a DiskDescriptor.xml could not be made: libxml2 failed");
    }
    return declaration + "\n" + plain(xmlBufferContent(buffer.get()));
}

bool is_element(const xmlNode* node, std::string_view name) {
    return node->type == XML_ELEMENT_NODE && plain(node->name) == name;
}

std::vector<xmlNode*> children_named(const xmlNode* parent, std::string_view name) {
    std::vector<xmlNode*> found;
    for (xmlNode* node = parent->children; node != nullptr; node = node->next) {
        if (is_element(node, name)) {
            found.push_back(node);
        }
    }
    return found;
}

std::string content_of(const xmlNode* node) {
    const std::unique_ptr<xmlChar, FreeText> text(xmlNodeGetContent(node));
    return text == nullptr ? std::string() : std::string(plain(text.get()));
}

std::string_view without_blanks(std::string_view text) {
    constexpr std::string_view blanks = " \t\r\n";
    const std::size_t first = text.find_first_not_of(blanks);
    return first == std::string_view::npos ? std::string_view()
                                           : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

xmlNode* new_element(std::string_view name) {
    xmlNode* node = xmlNewNode(nullptr, xml(std::string(name).c_str()));
    if (node == nullptr) {
        throw std::bad_alloc();
    }
    return node;
}

void set_content(xmlNode* node, const std::string& content) {
    while (node->children != nullptr) {
        remove_node(node->children);
    }
    xmlNode* text = xmlNewText(xml(content.c_str()));
    if (text == nullptr) {
        throw std::bad_alloc();
    }
    xmlAddChild(node, text);
}

void remove_node(xmlNode* node) {
    xmlUnlinkNode(node);
    xmlFreeNode(node);
}

void insert_in_order(xmlNode* parent, Order order, xmlNode* node) {
    const auto own_place = std::find(order.begin(), order.end(), plain(node->name));
    xmlNode* before = nullptr;
    // Blanks in what had no elements till now would stop the writer from laying them out.
    drop_blank_texts(parent);
    for (xmlNode* other = parent->children; other != nullptr; other = other->next) {
        if (std::any_of(order.begin(), own_place,
                        [&](std::string_view name) { return is_element(other, name); })) {
            before = other;
        }
    }
    if (before != nullptr) {
        xmlAddNextSibling(before, node);
    } else if (parent->children != nullptr) {
        xmlAddPrevSibling(parent->children, node);
    } else {
        xmlAddChild(parent, node);
    }
}

xmlNode* child_in_order(xmlNode* parent, Order order, std::string_view name) {
    for (xmlNode* node = parent->children; node != nullptr; node = node->next) {
        if (is_element(node, name)) {
            return node;
        }
    }
    xmlNode* made = new_element(name);
    insert_in_order(parent, order, made);
    return made;
}

} // namespace disktool::ploop
