// SPDX-License-Identifier: LGPL-2.1-or-later
#include <disktool/filesystem.h>

namespace disktool {

Filesystem::~Filesystem() = default;
FilesystemPlugin::~FilesystemPlugin() = default;

} // namespace disktool
