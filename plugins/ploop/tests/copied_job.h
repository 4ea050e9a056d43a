// SPDX-License-Identifier: LGPL-2.1-or-later
// The job file of a disk that was copied by a crash test.
#pragma once

#include "support/temporary_folder.h"

#include <disktool/doors.h>

#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>

namespace disktool::ploop::operations_test {

/// A copy has other inodes than the disk that the job file was written for.
inline void adopt_inodes(const std::filesystem::path& folder) {
    for (const char* suffix : {".disktool-job", ".disktool-job.new"}) {
        const std::string path = (folder / "DiskDescriptor.xml").string() + suffix;
        if (!std::filesystem::exists(path)) {
            continue;
        }
        auto json = nlohmann::ordered_json::parse(test::read_file(path), nullptr, false);
        if (json.is_discarded()) {
            continue; // half written
        }
        for (const char* list : {"made", "gone", "changing"}) {
            for (auto& file : json[list]) {
                const auto status =
                    real_doors().files.status((folder / file["file"].get<std::string>()).string(), false);
                if (file["inode"] != 0 && status) {
                    file["inode"] = status->inode;
                    file["device"] = status->device;
                }
            }
        }
        test::write_file(path, json.dump(2));
    }
}

} // namespace disktool::ploop::operations_test
