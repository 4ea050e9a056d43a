// SPDX-License-Identifier: LGPL-2.1-or-later
#include "swap_plugin.h"

#include "swap_filesystem.h"
#include "swap_header.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <optional>

namespace disktool::swap {

int Plugin::probe(BlockDevice& device) {
    try {
        const std::optional<SwapHeader> header = read_header(device);
        return !header ? 0 : header->kind == SwapKind::version_0 ? 60 : 100;
    } catch (const SystemError&) {
        throw;
    } catch (const Error&) { // open says what is wrong with it
        return 60;
    }
}

std::unique_ptr<Filesystem> Plugin::open(BlockDevice& device) {
    std::optional<SwapHeader> header = read_header(device);
    if (!header)
        throw Error(ErrorCode::unsupported, fmt::format("{}: there is no swap area on it", device.name()),
                    Reason::filesystem_not_supported);
    if (header->kind == SwapKind::version_0)
        throw Error(
            ErrorCode::unsupported,
            fmt::format("{}: the swap area is of version 0, which Linux has not used since 2.2; make it anew "
                        "with mkswap in the guest",
                        device.name()),
            Reason::feature_not_supported);
    return std::make_unique<SwapFilesystem>(device, std::move(*header));
}

} // namespace disktool::swap
