// SPDX-License-Identifier: LGPL-2.1-or-later
#include "resize_step.h"

#include "swap_header.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace disktool::swap {

std::uint64_t pages_in(std::uint64_t bytes, std::uint32_t page_size) {
    return std::min<std::uint64_t>(bytes / page_size, std::numeric_limits<std::uint32_t>::max());
}

std::string ResizeStep::text() const {
    return fmt::format("Rewrite the swap header of partition {} for {} (its UUID and label stay)",
                       request_.partition, size_text(pages_in(request_.new_size, page_size_) * page_size_));
}

Cost ResizeStep::cost() const {
    Cost cost;
    cost.read = page_size_;
    cost.written = page_size_;
    return cost;
}

Details ResizeStep::details() const {
    return {{"partition", std::uint64_t(request_.partition)},
            {"new_size", request_.new_size},
            {"pages", pages_in(request_.new_size, page_size_)}};
}

void ResizeStep::commit(StepContext& context) {
    BlockDevice& window = context.workbench().window(request_.partition);
    const std::optional<SwapHeader> header = read_header(window);
    if (!header || header->kind != SwapKind::version_1 || header->page_size != page_size_)
        throw Error(
            ErrorCode::failure,
            fmt::format("{}: the swap area is no longer what it was when the work was planned; start again",
                        window.name()));
    const std::uint64_t pages = pages_in(std::min(request_.new_size, window.size()), page_size_);
    if (pages < least_pages)
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{}: a swap area needs {} pages", window.name(), least_pages),
                    Reason::below_minimum);
    write_last_page(window, *header, static_cast<std::uint32_t>(pages - 1));
    window.flush();
    context.advance(cost().work());
}

} // namespace disktool::swap
