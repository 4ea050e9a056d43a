// SPDX-License-Identifier: LGPL-2.1-or-later
// From a Command to a running child: looking up the program, fork, exec.
#pragma once

#include "block/host_descriptor.h"

#include <disktool/subprocess.h>

#include <sys/types.h>

#include <memory>
#include <string>

namespace disktool {

/// A child that was started. When it goes, what is left of the child's process group is killed and the child is
/// reaped.
struct Launched {
    explicit Launched(pid_t child) : pid(child) {}
    Launched(const Launched&) = delete;
    Launched& operator=(const Launched&) = delete;
    ~Launched();

    pid_t pid;
    Descriptor output; ///< read ends, not blocking
    Descriptor errors;
    Descriptor end; ///< a pidfd: readable when the child has ended
};

/// In the folders that PATH names with a whole path; a name with a slash stays as it is. Throws
/// program_missing.
std::string find_program(const std::string& name);

/// Throws program_missing when there is no such program or it cannot be executed.
std::unique_ptr<Launched> launch(const Command& command);

} // namespace disktool
