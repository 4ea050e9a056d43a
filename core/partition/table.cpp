// SPDX-License-Identifier: LGPL-2.1-or-later
#include "partition/table.h"

namespace disktool {

const Partition* PartitionTable::last() const {
    const Partition* last = nullptr;
    for (const Partition& partition : partitions) {
        if (!partition.extended && (last == nullptr || partition.range.end() > last->range.end())) {
            last = &partition;
        }
    }
    return last;
}

std::string PartitionTable::type_text() const {
    switch (type) {
    case TableType::gpt:
        return "gpt";
    case TableType::mbr:
        return "mbr";
    case TableType::none:
        break;
    }
    return "none";
}

} // namespace disktool
