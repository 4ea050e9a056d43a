// SPDX-License-Identifier: LGPL-2.1-or-later
#include "check_sparse.h"

#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace disktool::ploop {

void write_zeros(File& file, Range range) {
    const std::vector<std::byte> zeros(std::min(range.length, MiB));
    for (std::uint64_t done = 0; done < range.length; done += zeros.size()) {
        const std::uint64_t length = std::min<std::uint64_t>(range.length - done, zeros.size());
        file.write(range.offset + done, std::span(zeros).first(length));
    }
}

Exit check_holes(File& file, const CheckWriter& writer, const std::function<File&()>& fill,
                 CheckResult& result) {
    const FileStatus status = file.status();
    auto hole = file.next_hole(0);
    if (!hole || status.allocated >= status.size) {
        return Exit::ok;
    }
    result.sparse = true;
    const std::string what = fmt::format("ploop image '{}' is sparse", file.path());
    if (!fill) {
        writer.err("Error: " + what);
        return Exit::fatal_check;
    }
    writer.err("Warning: " + what);
    writer.out("Reallocating sparse blocks back");
    File& target = fill();
    while (hole && *hole < status.size) {
        const std::uint64_t end = std::min(file.next_data(*hole).value_or(status.size), status.size);
        writer.out(fmt::format("Filling hole at start={} len={}", *hole, end - *hole));
        write_zeros(target, {*hole, end - *hole});
        hole = file.next_hole(end);
    }
    target.sync();
    result.changed = true;
    return Exit::ok;
}

} // namespace disktool::ploop
