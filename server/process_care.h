// SPDX-License-Identifier: LGPL-2.1-or-later
// What a process needs on which a block device depends.
#pragma once

#include <vector>

namespace disktool::server {

/// Leaves the starter's session, terminal, folder and descriptors but those of `kept`; the starter's child ends
/// with 0, and a grandchild of the starter returns from this. Before there are threads. Throws SystemError.
void become_daemon(const std::vector<int>& kept);

/// The kernel must not wait for the device when this process needs memory, nor end it for want of memory: see
/// docs/ploop-devices.md. What the host does not permit is logged. Before there are threads.
void take_care_of_process();

} // namespace disktool::server
