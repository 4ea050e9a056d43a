// SPDX-License-Identifier: LGPL-2.1-or-later
#include "served_disk.h"

namespace disktool::ploop {

void ServedDisk::merge(const MergeRequest&, const Say&, const Progress&) {
    refuse("snapshot-merge of a mounted disk is not built yet");
}
void ServedDisk::remove_snapshot(const Uuid&, const Say&, const Progress&) {
    refuse("snapshot-delete of a mounted disk is not built yet");
}
void ServedDisk::replace(const RunningReplace&, const Say&, const Progress&) {
    refuse("replace of a mounted disk is not built yet");
}

} // namespace disktool::ploop
