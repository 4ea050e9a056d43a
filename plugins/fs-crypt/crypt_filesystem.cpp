// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crypt_filesystem.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <utility>

namespace disktool::crypt {

CryptFilesystem::CryptFilesystem(BlockDevice& device, CryptHeader header)
    : device_(device), header_(std::move(header)) {}

std::string CryptFilesystem::sentence() const {
    const char* way_out = header_.luks()
                              ? "trim in the guest instead (fstrim, with discard allowed in /etc/crypttab)"
                              : "trim in the guest instead (defrag /L, or Optimize-Volume -ReTrim)";
    return fmt::format(
        "encrypted with {}: what lies in it cannot be read without its key, so neither free space nor "
        "file systems in it are known; {}",
        header_.name(), way_out);
}

FilesystemState CryptFilesystem::state() {
    FilesystemState state;
    state.reason = Reason::encrypted;
    state.sentence = sentence();
    state.free_map_trusted = false;
    state.appliance_can_help = false;
    return state;
}

/// Neither header says how much it spans: it is all of the device.
FilesystemUsage CryptFilesystem::usage() {
    FilesystemUsage usage;
    usage.size = device_.size();
    usage.block_size = 512;
    usage.label = header_.label;
    usage.uuid = header_.uuid;
    return usage;
}

ExtentSet CryptFilesystem::free_extents() {
    refuse();
}

MinimumSize CryptFilesystem::minimum_size() {
    refuse();
}

Details CryptFilesystem::details() {
    return {{"kind", header_.name()}};
}

void CryptFilesystem::plan_resize(Plan&, const FilesystemResize&) {
    refuse();
}

void CryptFilesystem::refuse() const {
    throw Error(ErrorCode::unsupported, fmt::format("{}: {}", device_.name(), sentence()), Reason::encrypted);
}

} // namespace disktool::crypt
