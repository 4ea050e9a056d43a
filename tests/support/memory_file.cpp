// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/memory_file.h"

#include <disktool/doors.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string_view>
#include <utility>

namespace disktool::test {

namespace {

constexpr std::size_t page_size = MemoryFile::page_size;

std::size_t pages_for(std::uint64_t size) {
    return (size + page_size - 1) / page_size;
}

} // namespace

const MemoryFile::PageRef& MemoryFile::reserved() {
    static const PageRef page = std::make_shared<const Page>();
    return page;
}

std::uint64_t MemoryFile::hash_of(const PageRef& page, std::size_t index) {
    return page ? (page->hash + index) * 0xff51afd7ed558ccd ^ (index * 0xc4ceb9fe1a85ec53) : 0;
}

MemoryFile MemoryFile::load(const std::string& path) {
    const std::unique_ptr<File> file = real_doors().files.open(path, {});
    MemoryFile result;
    const std::uint64_t size = file->status().size;
    std::vector<std::byte> buffer(1 << 20);
    for (std::uint64_t at = 0; at < size;) {
        const std::uint64_t data = file->next_data(at).value_or(size);
        const std::uint64_t hole = data < size ? file->next_hole(data).value_or(size) : size;
        for (at = data; at < hole;) {
            const auto piece = std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), hole - at));
            file->read(at, piece);
            result.write(at, piece);
            at += piece.size();
        }
    }
    result.truncate(size);
    return result;
}

void MemoryFile::store(const std::string& path, std::uint32_t mode) const {
    const std::unique_ptr<File> file =
        real_doors().files.open(path, {.write = true, .create = true, .exclusive = true, .mode = mode});
    std::vector<std::byte> buffer;
    for (std::size_t first = 0; first < pages_.size();) {
        std::size_t end = first + 1;
        if (!pages_[first]) {
            first = end;
            continue;
        }
        const bool room = pages_[first] == reserved();
        while (end < pages_.size() && pages_[end] && (pages_[end] == reserved()) == room && end - first < 256) {
            ++end;
        }
        if (room) {
            file->allocate({first * page_size, (end - first) * page_size}, true);
        } else {
            buffer.clear();
            for (std::size_t i = first; i < end; ++i) {
                buffer.insert(buffer.end(), pages_[i]->bytes.begin(), pages_[i]->bytes.end());
            }
            file->write(first * page_size, buffer);
        }
        first = end;
    }
    if (file->status().size != size_) {
        file->truncate(size_);
    }
}

std::string MemoryFile::text() const {
    std::string result(size_, '\0');
    for (std::size_t i = 0; i < pages_for(size_) && i < pages_.size(); ++i) {
        if (pages_[i]) {
            std::memcpy(result.data() + i * page_size, pages_[i]->bytes.data(),
                        std::min<std::uint64_t>(page_size, size_ - i * page_size));
        }
    }
    return result;
}

void MemoryFile::put(std::size_t index, PageRef page) {
    if (index >= pages_.size()) {
        if (!page) {
            return;
        }
        pages_.resize(index + 1);
    }
    hash_ ^= hash_of(pages_[index], index) ^ hash_of(page, index);
    pages_[index] = std::move(page);
}

void MemoryFile::change(std::size_t index, std::size_t from, std::span<const std::byte> data) {
    const auto page = index < pages_.size() && pages_[index] ? std::make_shared<Page>(*pages_[index])
                                                             : std::make_shared<Page>();
    std::memcpy(page->bytes.data() + from, data.data(), data.size());
    page->hash =
        std::hash<std::string_view>()({reinterpret_cast<const char*>(page->bytes.data()), page->bytes.size()}) |
        1;
    put(index, page);
}

void MemoryFile::grow_to(std::uint64_t size) {
    size_ = std::max(size_, size);
}

void MemoryFile::write(std::uint64_t offset, std::span<const std::byte> data) {
    grow_to(offset + data.size());
    while (!data.empty()) {
        const std::size_t within = offset % page_size;
        const auto part = data.first(std::min(page_size - within, data.size()));
        change(offset / page_size, within, part);
        offset += part.size();
        data = data.subspan(part.size());
    }
}

void MemoryFile::punch_hole(Range range) {
    static constexpr std::array<std::byte, page_size> zeros{};
    const std::uint64_t end = std::min<std::uint64_t>(range.end(), pages_.size() * page_size);
    for (std::uint64_t at = range.offset; at < end;) {
        const std::size_t index = at / page_size;
        const std::size_t within = at % page_size;
        const std::size_t length = std::min<std::uint64_t>(page_size - within, end - at);
        if (length == page_size) {
            put(index, nullptr);
        } else if (pages_[index]) {
            change(index, within, std::span(zeros).first(length));
        }
        at += length;
    }
}

void MemoryFile::allocate(Range range, bool keep_size) {
    for (std::size_t i = range.offset / page_size; i < pages_for(range.end()); ++i) {
        if (i >= pages_.size() || !pages_[i]) {
            put(i, reserved());
        }
    }
    if (!keep_size) {
        grow_to(range.end());
    }
}

void MemoryFile::truncate(std::uint64_t size) {
    if (size < size_) {
        punch_hole(
            {size, pages_.size() * page_size - std::min<std::uint64_t>(size, pages_.size() * page_size)});
    }
    size_ = size;
}

} // namespace disktool::test
