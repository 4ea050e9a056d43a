// SPDX-License-Identifier: LGPL-2.1-or-later
// What the helper is asked to do, from its command line.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace disktool::sandbox {

struct Request {
    int report = -1;                    ///< --report FD
    std::optional<uid_t> user;          ///< --user UID:GID: become that user
    gid_t group = 0;                    ///< of --user
    bool isolate = false;               ///< --isolate: namespaces, an own root; else bubblewrap has done it
    std::vector<std::string> readable;  ///< --read PATH: files and folders that the root shows; absolute
    std::vector<std::string> writable;  ///< --write PATH: files that may be written; absolute
    std::vector<std::string> variables; ///< --set NAME=VALUE: the environment besides the usual
    std::vector<std::string> command;   ///< after --; [0] is an absolute path
};

/// None where the words make no sense.
std::optional<Request> parse(int count, char** words);

} // namespace disktool::sandbox
