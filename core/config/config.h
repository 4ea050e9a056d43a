// SPDX-License-Identifier: LGPL-2.1-or-later
// The configuration file; every key is described in docs/config.md.
#pragma once

#include <disktool/api.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace disktool {

enum class Engine { automatic, native, appliance };

struct ApplianceConfig {
    enum class Acceleration { automatic, kvm, emulation };
    Acceleration acceleration = Acceleration::automatic;
    std::uint64_t memory = 0; ///< bytes; 0: libguestfs's own choice
    std::chrono::seconds boot_timeout{300};
    bool remembers_kvm = true; ///< a KVM that failed in an earlier run is not tried again for a day
};

struct Config {
    std::vector<std::string> plugin_path;
    std::vector<std::string> allow_backing;
    Engine engine = Engine::automatic;
    std::optional<std::chrono::seconds> wait; ///< for locks; zero: for ever
    ApplianceConfig appliance;
    std::string source; ///< the file it came from; empty: defaults
};

/// $DISKTOOL_CONFIG if set (it must exist), else /etc/disktool/disktool.yaml if there, else defaults. An
/// unknown key or a bad value is Error(usage) with "FILE:LINE: ...".
DISKTOOL_API Config load_config();
DISKTOOL_API Config parse_config(const std::string& text, const std::string& file_name);

DISKTOOL_API std::optional<Engine> engine_by_name(const std::string& name);
DISKTOOL_API std::string name(Engine engine);

} // namespace disktool
