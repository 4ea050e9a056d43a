// SPDX-License-Identifier: LGPL-2.1-or-later
#include "plugin/shared_object.h"

#include <disktool/doors.h>
#include <disktool/error.h>

#include <boost/dll/shared_library_load_mode.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <cstddef>
#include <string_view>

namespace disktool {
namespace {

constexpr const char* symbol = "disktool_plugin_declaration";
/// What a declaration of API 1, the oldest there is, holds.
constexpr std::size_t least_size = offsetof(PluginDeclaration, create) + sizeof(PluginDeclaration::create);

[[noreturn]] void refuse(const PluginManifest& manifest, const std::string& reason) {
    throw Error(ErrorCode::unsupported, fmt::format("the plugin \"{}\" ({}) cannot be used: {}", manifest.name,
                                                    manifest.library, reason));
}

boost::dll::shared_library open_library(const PluginManifest& manifest) {
    try {
        return boost::dll::shared_library(manifest.library,
                                          boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local);
    } catch (const boost::dll::fs::system_error& error) {
        refuse(manifest, error.what());
    }
}

const PluginDeclaration* read_declaration(const PluginManifest& manifest, boost::dll::shared_library& library) {
    if (!library.has(symbol)) {
        refuse(manifest, fmt::format("it does not export \"{}\", so it is not a plugin of disktool", symbol));
    }
    return &library.get<const PluginDeclaration>(symbol);
}

/// Field by field, in the order in which one may be believed once those before it are.
void check(const PluginManifest& manifest, const PluginDeclaration& declaration) {
    if (declaration.struct_size < least_size) {
        refuse(manifest, fmt::format("its declaration is {} bytes long, less than the {} that API 1 has",
                                     declaration.struct_size, least_size));
    }
    if (declaration.abi_epoch != plugin_abi_epoch) {
        refuse(manifest,
               fmt::format("it was built for ABI epoch {}, and this program has {}; a build of it for "
                           "this version of disktool is needed",
                           declaration.abi_epoch, plugin_abi_epoch));
    }
    if (declaration.api_version > plugin_api_version || declaration.struct_size > sizeof(PluginDeclaration)) {
        refuse(manifest, fmt::format("it was built for a newer disktool (API {}, and this one has {}); a newer "
                                     "disktool or an older build of it is needed",
                                     declaration.api_version, plugin_api_version));
    }
    if (declaration.name == nullptr || declaration.version == nullptr || declaration.licence == nullptr ||
        declaration.create == nullptr) {
        refuse(manifest, "its declaration is not filled in");
    }
    if (declaration.name != manifest.name) {
        refuse(manifest, fmt::format("it says that its name is \"{}\"", declaration.name));
    }
    if (declaration.kind != manifest.kind) {
        refuse(manifest, fmt::format("its plugin.yaml says that it is a {} plugin, and it says otherwise",
                                     kind_text(manifest.kind)));
    }
}

} // namespace

std::optional<std::string> unsafe_to_load(const std::string& path) {
    const std::optional<FileStatus> status = real_doors().files.status(path);
    if (!status) {
        return fmt::format("{} is missing", path);
    }
    if (status->owner != 0 && status->owner != ::geteuid()) {
        return fmt::format(
            "{} belongs to user {}, who is neither root nor you; chown it to yourself if you trust "
            "what is in it",
            path, status->owner);
    }
    // A group that has its user's number is that user's private one: what umask 002 makes is safe then.
    const bool group_writes = (status->mode & 020) != 0 && status->group != status->owner;
    if (group_writes || (status->mode & 002) != 0) {
        return fmt::format("{} may be written to by others; take that away with chmod go-w", path);
    }
    return std::nullopt;
}

SharedObject::SharedObject(const PluginManifest& manifest)
    : library_(open_library(manifest)), declaration_(read_declaration(manifest, library_)) {
    check(manifest, *declaration_);
}

} // namespace disktool
