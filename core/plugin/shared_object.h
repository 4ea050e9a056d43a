// SPDX-License-Identifier: LGPL-2.1-or-later
// A plugin's shared object: loaded, and its declaration checked before anything of it is used.
#pragma once

#include "plugin/registry.h"

#include <boost/dll/shared_library.hpp>

#include <optional>
#include <string>

namespace disktool {

/// Why nothing may be loaded from here (a file or folder that others may write to); none: it may.
std::optional<std::string> unsafe_to_load(const std::string& path);

/// Loaded as long as this lives; everything made by it must be gone before.
class SharedObject {
  public:
    /// Throws Error(unsupported) with the sentence that says why it cannot be a plugin of this program.
    explicit SharedObject(const PluginManifest& manifest);

    const PluginDeclaration& declaration() const { return *declaration_; }

  private:
    boost::dll::shared_library library_;
    const PluginDeclaration* declaration_;
};

} // namespace disktool
