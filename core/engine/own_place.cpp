// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/own_place.h"

#include <disktool/doors.h>
#include <disktool/error.h>

#include <dlfcn.h>

namespace disktool {

namespace {

// Lies in libdisktool for sure; a function's address might be that of the program's own entry for it.
const char anchor = 0;

std::string find_prefix() {
    Dl_info info{};
    if (dladdr(&anchor, &info) == 0 || info.dli_fname == nullptr)
        throw Error(ErrorCode::failure, "The dynamic linker does not tell where libdisktool lies");
    return directory_of(directory_of(real_doors().files.real_path(info.dli_fname)));
}

} // namespace

std::string own_prefix() {
    // Once: the name may be relative to the folder that the program was started in.
    static const std::string prefix = find_prefix();
    return prefix;
}

std::string_view version() {
    return DISKTOOL_VERSION;
}

} // namespace disktool
