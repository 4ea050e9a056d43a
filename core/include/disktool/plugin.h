// SPDX-License-Identifier: LGPL-2.1-or-later
// How a shared object says that it is a plugin. One symbol, made by one macro; see docs/plugins.md.
#pragma once

#include <disktool/api.h>
#include <disktool/filesystem.h>
#include <disktool/format.h>
#include <disktool/volumes.h>

#include <cstdint>

namespace disktool {

/// Raised when something is added to the API. New virtual functions come last in their class, with a default
/// that an older plugin can live with, and the core calls them only on plugins whose api_version has them: so
/// an older plugin runs in a newer core. A plugin with a newer version than the core is refused.
constexpr std::uint32_t plugin_api_version = 1;
/// Raised when older plugins can no longer run: a change that is not an addition.
constexpr std::uint32_t plugin_abi_epoch = 2;

enum class PluginKind : std::uint32_t { format = 1, filesystem = 2, volumes = 3 };

/// Plain data, so that it can be read before anything of the plugin is trusted. New fields come last.
struct PluginDeclaration {
    std::uint32_t struct_size;
    std::uint32_t abi_epoch;
    std::uint32_t api_version;
    PluginKind kind;
    const char* name;    ///< as in plugin.yaml
    const char* version; ///< of the plugin
    const char* licence; ///< SPDX
    void* (*create)();   ///< a new FormatPlugin*, FilesystemPlugin* or VolumesPlugin*, as kind says; the core
                         ///< owns it
};

} // namespace disktool

#define DISKTOOL_PLUGIN_SYMBOL disktool_plugin_declaration

#define DISKTOOL_DECLARE_PLUGIN_(kind_, Base, Class, name_, version_, licence_)                                \
    extern "C" DISKTOOL_API const ::disktool::PluginDeclaration DISKTOOL_PLUGIN_SYMBOL;                        \
    const ::disktool::PluginDeclaration DISKTOOL_PLUGIN_SYMBOL = {                                             \
        sizeof(::disktool::PluginDeclaration),                                                                 \
        ::disktool::plugin_abi_epoch,                                                                          \
        ::disktool::plugin_api_version,                                                                        \
        ::disktool::PluginKind::kind_,                                                                         \
        name_,                                                                                                 \
        version_,                                                                                              \
        licence_,                                                                                              \
        []() -> void* { return static_cast<::disktool::Base*>(new Class); }}

/// In one source file of the plugin, outside any namespace:
/// DISKTOOL_FORMAT_PLUGIN(disktool::qcow2::Plugin, "qcow2", "1.0", "LGPL-2.1-or-later");
#define DISKTOOL_FORMAT_PLUGIN(Class, name, version, licence)                                                  \
    DISKTOOL_DECLARE_PLUGIN_(format, FormatPlugin, Class, name, version, licence)
#define DISKTOOL_FILESYSTEM_PLUGIN(Class, name, version, licence)                                              \
    DISKTOOL_DECLARE_PLUGIN_(filesystem, FilesystemPlugin, Class, name, version, licence)
#define DISKTOOL_VOLUMES_PLUGIN(Class, name, version, licence)                                                 \
    DISKTOOL_DECLARE_PLUGIN_(volumes, VolumesPlugin, Class, name, version, licence)
