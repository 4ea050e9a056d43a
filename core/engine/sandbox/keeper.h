// SPDX-License-Identifier: LGPL-2.1-or-later
// What sees to it that nothing outlives disktool. A process can ask for a signal at its parent's death, but who
// is between fork and that request is missed; bubblewrap's child even waits for its parent in between, for
// ever, and holds a copy of every mount of the host (bubblewrap 0.8).
#pragma once

namespace disktool::sandbox {

/// Goes on in a child. The caller, which leads a process group and is disktool's child, does not return: it
/// ends as the child ends, and when disktool ends it kills the whole group.
void keep_group();

} // namespace disktool::sandbox
