// SPDX-License-Identifier: LGPL-2.1-or-later
// Encrypted content seen as a file system: it is what it is, and nothing in it can be told free.
#pragma once

#include "crypt_header.h"

#include <disktool/block_device.h>
#include <disktool/filesystem.h>

#include <string>

namespace disktool::crypt {

/// See disktool/filesystem.h. free_extents(), minimum_size() and plan_resize() throw unsupported with the
/// reason.
class CryptFilesystem : public Filesystem {
  public:
    CryptFilesystem(BlockDevice& device, CryptHeader header);

    /// As libblkid calls them.
    std::string type() const override { return header_.luks() ? "crypto_LUKS" : "BitLocker"; }
    FilesystemState state() override;
    FilesystemUsage usage() override;
    ExtentSet free_extents() override;
    MinimumSize minimum_size() override;
    Details details() override;
    Reason can_grow() const override { return Reason::encrypted; }
    Reason can_shrink() const override { return Reason::encrypted; }
    void plan_resize(Plan& plan, const FilesystemResize& request) override;

  private:
    std::string sentence() const;
    [[noreturn]] void refuse() const;

    BlockDevice& device_;
    CryptHeader header_;
};

} // namespace disktool::crypt
