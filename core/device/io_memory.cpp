// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/io_memory.h"

#include <disktool/size.h>

#include <sys/mman.h>

#include <cstdint>
#include <new>

namespace disktool {

namespace {
constexpr std::size_t huge_page = 2 * MiB; // of all machines whose pages are 4 KiB
constexpr std::size_t page = 4096;
} // namespace

IoMemory::IoMemory(std::size_t length) : length_(round_up(length, page)), start_(nullptr) {
    // Nothing may be in it before it is said that huge pages are wanted, and in a process that locks its memory
    // (MCL_FUTURE) something is from the beginning, unless it is not accessible.
    const std::size_t room = length_ + huge_page;
    void* const mapping = mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) {
        throw std::bad_alloc();
    }
    auto* const begin = static_cast<std::byte*>(mapping);
    const std::size_t before = (huge_page - reinterpret_cast<std::uintptr_t>(begin) % huge_page) % huge_page;
    start_ = begin + before;
    if (before != 0) {
        munmap(begin, before);
    }
    munmap(start_ + length_, room - before - length_);
    (void)madvise(start_, length_, MADV_HUGEPAGE); // a kernel without them refuses
    if (mprotect(start_, length_, PROT_READ | PROT_WRITE) != 0) {
        munmap(start_, length_);
        throw std::bad_alloc();
    }
}

IoMemory::~IoMemory() {
    munmap(start_, length_);
}

} // namespace disktool
