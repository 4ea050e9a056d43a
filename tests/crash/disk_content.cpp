// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk_content.h"

#include "support/run.h"
#include "support/temporary_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace disktool::test {

namespace {

constexpr std::uint64_t block = 4096;

bool all_zero(const char* bytes, std::uint64_t length) {
    return length == 0 || (bytes[0] == 0 && std::memcmp(bytes, bytes + 1, length - 1) == 0);
}

} // namespace

DiskContent DiskContent::by_qemu(const std::string& image, const std::string& snapshot) {
    TemporaryFolder folder;
    std::vector<std::string> command{"qemu-img", "convert", "-f", "qcow2", "-O", "raw"};
    if (!snapshot.empty()) {
        command.insert(command.end(), {"-l", "snapshot.name=" + snapshot});
    }
    command.insert(command.end(), {image, folder / "raw"});
    run_tool(command);
    const std::string text = read_file(folder / "raw");
    DiskContent content;
    content.bytes_.assign(text.begin(), text.end());
    for (std::uint64_t at = 0; at < content.size(); at += block) {
        if (!all_zero(content.bytes_.data() + at, std::min(block, content.size() - at))) {
            content.used_.push_back(at);
        }
    }
    return content;
}

std::optional<std::string> DiskContent::difference(BlockDevice& device) const {
    if (device.size() != size()) {
        return fmt::format("{} bytes instead of {}", device.size(), size());
    }
    std::vector<std::byte> buffer(1 << 20);
    for (const Extent& extent : device.extents({0, size()})) {
        const std::uint64_t end = extent.range.end();
        if (extent.kind != ExtentKind::data) {
            const std::uint64_t first = extent.range.offset / block * block;
            for (auto it = std::lower_bound(used_.begin(), used_.end(), first); it != used_.end() && *it < end;
                 ++it) {
                const std::uint64_t from = std::max(*it, extent.range.offset);
                if (!all_zero(bytes_.data() + from, std::min(end, *it + block) - from)) {
                    return fmt::format("zeros at {}", from);
                }
            }
            continue;
        }
        for (std::uint64_t at = extent.range.offset; at < end;) {
            const std::uint64_t length = std::min<std::uint64_t>(buffer.size(), end - at);
            device.read(at, std::span(buffer).first(length));
            if (std::memcmp(buffer.data(), bytes_.data() + at, length) != 0) {
                std::uint64_t i = 0;
                while (static_cast<char>(buffer[i]) == bytes_[at + i]) {
                    ++i;
                }
                return fmt::format("another byte at {}", at + i);
            }
            at += length;
        }
    }
    return std::nullopt;
}

} // namespace disktool::test
