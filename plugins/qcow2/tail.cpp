// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tail.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace disktool::qcow2 {

namespace {
/// Table entries have 56 bits for an offset.
constexpr std::uint64_t largest_file = std::uint64_t{1} << 56;
} // namespace

Tail::Run Tail::take(std::uint64_t count) {
    if (unused_.empty()) {
        return {append(count), count, true};
    }
    const auto [offset, length] = *unused_.begin();
    const std::uint64_t taken = std::min(count, length / cluster_size_);
    unused_.erase(unused_.begin());
    if (taken * cluster_size_ < length) {
        unused_.emplace(offset + taken * cluster_size_, length - taken * cluster_size_);
    }
    unused_bytes_ -= taken * cluster_size_;
    return {offset, taken, false};
}

std::uint64_t Tail::append(std::uint64_t count) {
    if (count > (largest_file - end_) / cluster_size_) {
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{}: the file would get larger than {}, more than a qcow2 image can be", path_,
                                size_text(largest_file)),
                    Reason::size_too_large);
    }
    const std::uint64_t offset = end_;
    end_ += count * cluster_size_;
    return offset;
}

void Tail::give_back(std::uint64_t offset, std::uint64_t count) {
    std::uint64_t length = count * cluster_size_;
    unused_bytes_ += length;
    const auto next = unused_.lower_bound(offset);
    if (next != unused_.end() && next->first == offset + length) {
        length += next->second;
        unused_.erase(next);
    }
    const auto behind = unused_.lower_bound(offset);
    if (behind != unused_.begin()) {
        const auto before = std::prev(behind);
        if (before->first + before->second == offset) {
            before->second += length;
            return;
        }
    }
    unused_.emplace(offset, length);
}

bool Tail::is_used(std::uint64_t offset) const {
    if (offset < start_ || offset >= end_) {
        return false;
    }
    const auto behind = unused_.upper_bound(offset);
    if (behind == unused_.begin()) {
        return true;
    }
    const auto& [from, length] = *std::prev(behind);
    return offset - from >= length;
}

ExtentSet Tail::unused() const {
    ExtentSet result;
    for (const auto& [offset, length] : unused_) {
        result.append({offset, length});
    }
    return result;
}

} // namespace disktool::qcow2
