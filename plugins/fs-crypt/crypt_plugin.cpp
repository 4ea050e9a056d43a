// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crypt_plugin.h"

#include "crypt_filesystem.h"
#include "crypt_header.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace disktool::crypt {

int Plugin::probe(BlockDevice& device) {
    return read_header(device) ? 100 : 0;
}

std::unique_ptr<Filesystem> Plugin::open(BlockDevice& device) {
    std::optional<CryptHeader> header = read_header(device);
    if (!header)
        throw Error(ErrorCode::unsupported,
                    fmt::format("{}: there is neither LUKS nor BitLocker on it", device.name()),
                    Reason::filesystem_not_supported);
    return std::make_unique<CryptFilesystem>(device, std::move(*header));
}

} // namespace disktool::crypt
