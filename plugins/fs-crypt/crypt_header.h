// SPDX-License-Identifier: LGPL-2.1-or-later
// What can be told of encrypted content without a key.
//
// Formats: LUKS On-Disk Format Specification 1.2.3 (magic, version at 6, both big-endian; UUID at 168) and
// LUKS2 On-Disk Format Specification 1.1 (label at 24, UUID at 168; a second header, "SKUL", behind the first
// one's metadata, whose size is one of nine). BitLocker: "-FVE-FS-" where a boot sector has its maker's name;
// To Go: a FAT boot sector ("MSWIN4.1") with an identifier at 424 (libblkid's bitlocker.c, libbde's
// documentation).
#pragma once

#include <disktool/block_device.h>

#include <optional>
#include <string>

namespace disktool::crypt {

enum class Kind { luks1, luks2, bitlocker, bitlocker_to_go };

struct CryptHeader {
    Kind kind = Kind::luks1;
    std::string label; ///< of LUKS2
    std::string uuid;  ///< of LUKS

    bool luks() const { return kind == Kind::luks1 || kind == Kind::luks2; }
    /// "LUKS2"
    std::string name() const;
};

/// None where there is nothing of the kind. At most a dozen small reads.
std::optional<CryptHeader> read_header(BlockDevice& device);

} // namespace disktool::crypt
