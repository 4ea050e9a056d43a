// SPDX-License-Identifier: LGPL-2.1-or-later
// Memory for file I/O.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>

namespace disktool::ploop {

/// Bytes that begin at a page, as direct I/O wants them. Kept when they are asked for again, since large
/// pieces are slow to get. What is in them is not cleared.
class PageBuffer {
  public:
    std::span<std::byte> get(std::size_t size) {
        if (size > size_) {
            const std::size_t whole = (size + page - 1) / page * page;
            memory_.reset(static_cast<std::byte*>(std::aligned_alloc(page, whole)));
            size_ = memory_ ? whole : 0;
            if (!memory_) {
                throw std::bad_alloc();
            }
        }
        return {memory_.get(), size};
    }
    std::size_t capacity() const { return size_; }
    void release() {
        memory_.reset();
        size_ = 0;
    }

  private:
    static constexpr std::size_t page = 4096;
    struct Release {
        void operator()(std::byte* memory) const { std::free(memory); }
    };
    std::unique_ptr<std::byte, Release> memory_;
    std::size_t size_ = 0;
};

} // namespace disktool::ploop
