// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "delta.h"

#include <disktool/file.h>

#include <functional>
#include <string>

namespace disktool::ploop {

/// PloopDisk::create_delta(), also where no descriptor names the disk.
void create_delta(FileDoor& files, const std::string& path, const Delta& like,
                  const std::function<void(File&)>& created);

} // namespace disktool::ploop
