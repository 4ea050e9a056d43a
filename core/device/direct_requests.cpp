// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/direct_requests.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace disktool {

namespace {
/// The kernel takes 20 ms to end one, in which whoever unmounts a device would wait. So those of past objects
/// are kept for the next ones; a device's process has one, which ends with the process.
class Contexts {
  public:
    static Contexts& all() {
        static Contexts contexts;
        return contexts;
    }
    io_context_t take() {
        const std::scoped_lock lock(mutex_);
        io_context_t context = nullptr;
        if (!idle_.empty()) {
            context = idle_.back();
            idle_.pop_back();
        } else if (io_setup(DirectRequests::most + 1, &context) != 0) {
            return nullptr;
        }
        return context;
    }
    /// Nothing is under way in it.
    void give_back(io_context_t context) {
        const std::scoped_lock lock(mutex_);
        idle_.push_back(context);
    }

  private:
    std::mutex mutex_;
    std::vector<io_context_t> idle_;
};
} // namespace

std::unique_ptr<DirectRequests> DirectRequests::start(Answer answer) {
    std::unique_ptr<DirectRequests> requests(new DirectRequests(std::move(answer)));
    return requests->prepare() ? std::move(requests) : nullptr;
}

bool DirectRequests::prepare() {
    end_ = eventfd(0, EFD_CLOEXEC);
    context_ = Contexts::all().take();
    if (end_ < 0 || context_ == nullptr) {
        return false;
    }
    memory_.emplace(most * largest);
    slots_.resize(most);
    free_.reserve(most);
    for (Slot& slot : slots_) {
        slot.memory = memory_->start() + free_.size() * largest;
        free_.push_back(&slot);
    }
    io_prep_poll(&wait_for_end_, end_, POLLIN);
    iocb* wait = &wait_for_end_;
    if (io_submit(context_, 1, &wait) != 1) {
        return false;
    }
    thread_.emplace([this] { answer_all(); });
    return true;
}

DirectRequests::~DirectRequests() {
    if (thread_) {
        for (unsigned count = under_way_; count != 0; count = under_way_) {
            under_way_.wait(count);
        }
        eventfd_write(end_, 1);
        thread_.reset();
        Contexts::all().give_back(context_);
    } else if (context_ != nullptr) {
        io_destroy(context_);
    }
    if (end_ >= 0) {
        close(end_);
    }
}

DirectRequests::Slot* DirectRequests::take_slot() {
    const std::scoped_lock lock(mutex_);
    if (free_.empty()) {
        return nullptr;
    }
    Slot* const slot = free_.back();
    free_.pop_back();
    ++under_way_;
    return slot;
}

void DirectRequests::give_back(Slot* slot) {
    {
        const std::scoped_lock lock(mutex_);
        free_.push_back(slot);
    }
    if (--under_way_ == 0) {
        under_way_.notify_all();
    }
}

bool DirectRequests::begin(const Request& request) {
    Slot* const slot = request.length <= largest ? take_slot() : nullptr;
    if (slot == nullptr) {
        return false;
    }
    slot->request = request;
    const auto offset = static_cast<std::int64_t>(request.place.offset);
    if (request.written != nullptr) {
        std::memcpy(slot->memory, request.written, request.length);
        io_prep_pwrite(&slot->block, request.place.direct, slot->memory, request.length, offset);
    } else {
        io_prep_pread(&slot->block, request.place.direct, slot->memory, request.length, offset);
    }
    slot->block.data = slot;
    iocb* block = &slot->block;
    if (io_submit(context_, 1, &block) == 1) {
        return true;
    }
    give_back(slot);
    return false;
}

void DirectRequests::answer_all() {
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
            answer_(slot->request, {slot->memory, length}, result < 0 ? static_cast<int>(-result) : 0);
            give_back(slot);
        }
    }
}

} // namespace disktool
