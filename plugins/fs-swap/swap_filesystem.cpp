// SPDX-License-Identifier: LGPL-2.1-or-later
#include "swap_filesystem.h"

#include "resize_step.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <utility>

namespace disktool::swap {

SwapFilesystem::SwapFilesystem(BlockDevice& device, SwapHeader header)
    : device_(device), header_(std::move(header)) {}

FilesystemState SwapFilesystem::state() {
    FilesystemState state;
    state.sentence = "clean";
    if (hibernated()) {
        state.reason = Reason::hibernated;
        state.sentence = "a system sleeps in it (suspended to disk): wake it and shut it down first";
        state.free_map_trusted = false;
    }
    return state;
}

FilesystemUsage SwapFilesystem::usage() {
    FilesystemUsage usage;
    usage.block_size = header_.page_size;
    usage.size = hibernated() ? device_.size() : header_.size();
    usage.free = hibernated() ? 0 : free_extents().total();
    usage.label = header_.label;
    usage.uuid = header_.uuid;
    return usage;
}

ExtentSet SwapFilesystem::free_extents() {
    demand_awake();
    ExtentSet used(Range{0, header_.page_size});
    for (const std::uint32_t bad : header_.bad_pages)
        used.append({std::uint64_t{bad} * header_.page_size, header_.page_size});
    return used.complement({0, header_.size()});
}

MinimumSize SwapFilesystem::minimum_size() {
    demand_awake();
    const std::uint64_t least = least_pages * header_.page_size;
    if (header_.size() <= least)
        return {header_.size(), Reason::filesystem_full_to_size, "it is as small as a swap area can be"};
    return {least, Reason::used_blocks, "mkswap makes no smaller swap areas"};
}

Details SwapFilesystem::details() {
    Details details = {{"page_bytes", std::uint64_t{header_.page_size}}};
    if (hibernated())
        return details;
    details.emplace_back("bad_pages", std::uint64_t{header_.bad_pages.size()});
    details.emplace_back("byte_order", std::string(header_.foreign ? "big-endian" : "little-endian"));
    return details;
}

void SwapFilesystem::plan_resize(Plan& plan, const FilesystemResize& request) {
    demand_awake();
    if (pages_in(request.new_size, header_.page_size) < least_pages)
        throw Error(ErrorCode::size_impossible,
                    fmt::format("{}: a swap area of {} is impossible; it needs at least {}", device_.name(),
                                exact_size_text(request.new_size),
                                exact_size_text(least_pages * header_.page_size)),
                    Reason::below_minimum);
    plan.add(std::make_unique<ResizeStep>(request, header_.page_size));
}

void SwapFilesystem::demand_awake() const {
    if (hibernated())
        throw Error(
            ErrorCode::damaged,
            fmt::format("{}: a system sleeps in this swap area (suspended to disk), so all that lies in it "
                        "is needed; wake the system and shut it down first",
                        device_.name()),
            Reason::hibernated);
}

} // namespace disktool::swap
