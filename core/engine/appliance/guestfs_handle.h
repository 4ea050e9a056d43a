// SPDX-License-Identifier: LGPL-2.1-or-later
// What libguestfs hands out, each freed when it goes.
#pragma once

#include <guestfs.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace disktool {

struct FreeGuestfs {
    void operator()(guestfs_h* handle) const { guestfs_close(handle); }
    void operator()(struct guestfs_statvfs* status) const { guestfs_free_statvfs(status); }
    void operator()(guestfs_partition_list* list) const { guestfs_free_partition_list(list); }
    void operator()(char* text) const { std::free(text); }
};

using GuestfsHandle = std::unique_ptr<guestfs_h, FreeGuestfs>;
using GuestfsStatus = std::unique_ptr<struct guestfs_statvfs, FreeGuestfs>;
using GuestfsPartitions = std::unique_ptr<guestfs_partition_list, FreeGuestfs>;
using GuestfsString = std::unique_ptr<char, FreeGuestfs>;

/// Takes over a list that ends with a null pointer, and frees it. The list must not be null.
inline std::vector<std::string> take_strings(char** list) {
    std::vector<std::string> result;
    for (std::size_t i = 0; list[i]; ++i) {
        result.emplace_back(list[i]);
        std::free(list[i]);
    }
    std::free(list);
    return result;
}

} // namespace disktool
