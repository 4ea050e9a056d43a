// SPDX-License-Identifier: LGPL-2.1-or-later
// A file descriptor that is closed when it goes.
#pragma once

#include <unistd.h>

#include <utility>

namespace disktool {

class Descriptor {
  public:
    Descriptor() = default;
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~Descriptor() { close(); }

    int get() const { return number_; }
    explicit operator bool() const { return number_ >= 0; }
    int release() { return std::exchange(number_, -1); }
    void close() {
        if (number_ >= 0)
            ::close(std::exchange(number_, -1));
    }

  private:
    int number_ = -1;
};

} // namespace disktool
