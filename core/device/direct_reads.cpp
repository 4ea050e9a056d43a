// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/direct_reads.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

namespace disktool {

namespace {
constexpr std::size_t page = 4096;
} // namespace

void DirectReads::FreeMemory::operator()(std::byte* memory) const {
    std::free(memory);
}

std::unique_ptr<DirectReads> DirectReads::start(Answer answer) {
    std::unique_ptr<DirectReads> reads(new DirectReads(std::move(answer)));
    return reads->prepare() ? std::move(reads) : nullptr;
}

bool DirectReads::prepare() {
    end_ = eventfd(0, EFD_CLOEXEC);
    memory_.reset(static_cast<std::byte*>(std::aligned_alloc(page, most * largest)));
    if (end_ < 0 || !memory_ || io_setup(most + 1, &context_) != 0) {
        context_ = nullptr;
        return false;
    }
    io_prep_poll(&wait_for_end_, end_, POLLIN);
    iocb* wait = &wait_for_end_;
    if (io_submit(context_, 1, &wait) != 1) {
        return false;
    }
    slots_.resize(most);
    free_.reserve(most);
    for (Slot& slot : slots_) {
        slot.memory = memory_.get() + free_.size() * largest;
        free_.push_back(&slot);
    }
    thread_ = std::thread([this] { answer_all(); });
    return true;
}

DirectReads::~DirectReads() {
    if (thread_.joinable()) {
        for (unsigned count = under_way_; count != 0; count = under_way_) {
            under_way_.wait(count);
        }
        eventfd_write(end_, 1);
        thread_.join();
    }
    if (context_ != nullptr) {
        io_destroy(context_);
    }
    if (end_ >= 0) {
        close(end_);
    }
}

DirectReads::Slot* DirectReads::take_slot() {
    const std::scoped_lock lock(mutex_);
    if (free_.empty()) {
        return nullptr;
    }
    Slot* const slot = free_.back();
    free_.pop_back();
    ++under_way_;
    return slot;
}

void DirectReads::give_back(Slot* slot) {
    {
        const std::scoped_lock lock(mutex_);
        free_.push_back(slot);
    }
    if (--under_way_ == 0) {
        under_way_.notify_all();
    }
}

bool DirectReads::begin(const Read& read) {
    Slot* const slot = read.length <= largest ? take_slot() : nullptr;
    if (slot == nullptr) {
        return false;
    }
    slot->read = read;
    io_prep_pread(&slot->block, read.place.direct, slot->memory, read.length,
                  static_cast<std::int64_t>(read.place.offset));
    slot->block.data = slot;
    iocb* block = &slot->block;
    if (io_submit(context_, 1, &block) == 1) {
        return true;
    }
    give_back(slot);
    return false;
}

void DirectReads::answer_all() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    std::array<io_event, most> events{};
    for (bool ending = false; !ending;) {
        const int count = io_getevents(context_, 1, most, events.data(), nullptr);
        for (int i = 0; i < count; ++i) {
            const io_event& event = events[static_cast<std::size_t>(i)];
            auto* const slot = static_cast<Slot*>(event.data);
            if (slot == nullptr) {
                ending = true;
                continue;
            }
            const auto result = static_cast<std::int64_t>(event.res);
            const std::size_t length = result > 0 ? static_cast<std::size_t>(result) : 0;
            answer_(slot->read, {slot->memory, length}, result < 0 ? static_cast<int>(-result) : 0);
            give_back(slot);
        }
    }
}

} // namespace disktool
