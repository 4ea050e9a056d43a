// SPDX-License-Identifier: LGPL-2.1-or-later
// Other processes that hold locks on an image, for tests.
#pragma once

#include "image/locks.h"

#include <disktool/doors.h>
#include <disktool/subprocess.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace disktool::test {

/// A program that runs until the object goes. The constructor returns once it has a lock on `image`.
class LockHolderProcess {
  public:
    LockHolderProcess(std::vector<std::string> arguments, const std::string& image) {
        Command command;
        command.arguments = std::move(arguments);
        process_ = real_doors().processes.start(command);
        const FileStatus file = real_doors().files.status(image).value();
        for (int i = 0; i < 500; ++i) {
            if (!lock_holders(file).empty()) {
                return;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
        throw std::runtime_error(command.text() + " took no lock on " + image);
    }

    int pid() const { return process_->pid(); }

  private:
    std::unique_ptr<Process> process_;
};

/// A running QEMU with the qcow2 image open, for writing or not.
inline LockHolderProcess qemu_on(const std::string& image, bool read_only = false) {
    return LockHolderProcess({"qemu-nbd", "--persistent", read_only ? "--read-only" : "--cache=writeback", "-f",
                              "qcow2", "-k", image + ".socket", image},
                             image);
}

/// Whoever else, with flock alone, for so many seconds.
inline LockHolderProcess flock_on(const std::string& image, bool exclusive, const std::string& seconds = "60") {
    return LockHolderProcess({"flock", exclusive ? "-x" : "-s", image, "sleep", seconds}, image);
}

} // namespace disktool::test
