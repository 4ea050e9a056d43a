// SPDX-License-Identifier: LGPL-2.1-or-later
// A listening socket for a child of ours that nobody else can reach.
#pragma once

#include "block/host_descriptor.h"

#include <vector>

namespace disktool {

/// A UNIX socket that listens, with our own connections waiting in its queue. Its name is gone before anyone
/// learns of it: it lay in a folder of mode 0700 while they were made. (An abstract name would need no
/// folder, but any user could connect to it first.)
struct PrivateSocket {
    Descriptor listening;              ///< for the child
    std::vector<Descriptor> connected; ///< ours
};

/// Throws SystemError.
PrivateSocket make_private_socket(unsigned connections = 1);

} // namespace disktool
