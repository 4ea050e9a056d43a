// SPDX-License-Identifier: LGPL-2.1-or-later
// The real host's programs.
#pragma once

#include <disktool/subprocess.h>

#include <memory>

namespace disktool {

/// A child is the leader of a process group of its own, so a ctrl-C at the terminal reaches only us, and we
/// decide what becomes of it. It has default signal handling, /dev/null or a file as its input, no descriptor
/// but those passed on, and is killed when the thread that started it ends.
class HostProcessDoor : public ProcessDoor {
  public:
    CommandResult run(const Command& command) override;
    std::unique_ptr<Process> start(const Command& command) override;
};

} // namespace disktool
