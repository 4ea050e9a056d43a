// SPDX-License-Identifier: LGPL-2.1-or-later
// What a device's process tells the one that has started it (docs/ploop-devices.md).
#pragma once

#include "block/host_descriptor.h"

#include <disktool/error.h>

#include <nlohmann/json.hpp>

#include <string>

namespace disktool::server {

/// Threads: one at a time. SIGPIPE must be ignored.
class ReadyPipe {
  public:
    explicit ReadyPipe(int descriptor) : pipe_(descriptor) {}

    int descriptor() const { return pipe_.get(); }
    void say(const std::string& line);  ///< to the log, once the last word was said
    void warn(const std::string& line); ///< the same
    /// The last words; the pipe is closed. False: nobody reads it any more (then ready() leaves it open).
    bool ready(const nlohmann::ordered_json& state);
    bool fail(const Error& error, int exit);

  private:
    bool write(const nlohmann::ordered_json& message);
    Descriptor pipe_;
};

} // namespace disktool::server
