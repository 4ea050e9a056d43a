// SPDX-License-Identifier: LGPL-2.1-or-later
// Which plugins there are (from their manifests, nothing loaded), and the loading of those that are used.
#pragma once

#include <disktool/doors.h>
#include <disktool/plugin.h>

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace disktool {

/// Bytes at a place by which content is recognised.
struct Magic {
    std::uint64_t offset = 0;
    std::vector<std::byte> bytes;
};

/// A program of the host that a plugin may need.
struct NeededProgram {
    std::string name;
    std::string version; ///< the least that will do; empty: any
    std::string package; ///< Debian's, for the message
    std::string purpose;
};

/// plugin.yaml, read and checked.
struct PluginManifest {
    std::string name;
    PluginKind kind = PluginKind::format;
    std::string version;
    std::string description;
    std::string licence;
    std::vector<Magic> magics;              ///< any of them; empty: only by name
    std::vector<std::string> descriptors;   ///< names of files that stand for an image: "DiskDescriptor.xml"
    std::vector<std::string> content_types; ///< libblkid's names: "ext4"
    std::vector<NeededProgram> programs;
    std::string folder;  ///< absolute
    std::string library; ///< absolute path of the shared object
};

/// The build tree's or the installation's folder beside libdisktool, after $DISKTOOL_PLUGIN_PATH
/// (colon-separated) and `configured`.
DISKTOOL_API std::vector<std::string> plugin_search_path(const std::vector<std::string>& configured);

/// Reads manifests when made; loads a plugin when first asked for it. A folder or file that others may write to
/// (world-writable, or owned by someone who is neither root nor us) is refused with unsupported when it is in
/// the way of a plugin that is asked for, and warned of (log) otherwise. The first of a name wins. Threads: one
/// at a time. Objects it gives belong to it.
class DISKTOOL_API Registry {
  public:
    explicit Registry(const std::vector<std::string>& search_path);
    Registry(const Registry&) = delete;
    Registry& operator=(const Registry&) = delete;
    ~Registry();

    const std::vector<PluginManifest>& manifests() const { return manifests_; }
    const PluginManifest* find(const std::string& name) const;
    std::vector<const PluginManifest*> of_kind(PluginKind kind) const;

    /// Throw unsupported when there is no such plugin, or it may not be loaded (the sentence says why).
    FormatPlugin& format(const std::string& name);
    FilesystemPlugin& filesystem(const std::string& name);
    VolumesPlugin& volumes(const std::string& name);
    /// Loads it, for --dump-plugin.
    const PluginDeclaration& declaration(const std::string& name);

    /// The format whose magic matches and whose probe is surest; none for raw or foreign content. Loads
    /// candidates.
    std::optional<std::string> probe_format(std::span<const std::byte> head, const std::string& path);
    /// The image file that is meant by a folder with a descriptor, or by a file with the descriptor's
    /// extension. None for everything else. Loads candidates. `access`: see FormatPlugin::image_behind.
    struct Described {
        std::string image;
        std::string format;
    };
    std::optional<Described> image_behind(Doors doors, const std::string& path, Access access);
    /// The format of an image file for which a descriptor beside it stands: more than its bytes can tell, which
    /// in a raw image are the guest's. None where there is none, or it stands for another file.
    std::optional<std::string> format_by_descriptor(Doors doors, const std::string& image_path);
    /// As probe_format for a file system. Manifests' magics are compared first, so that only candidates are
    /// loaded.
    std::optional<std::string> probe_filesystem(BlockDevice& device);
    /// The same for what is divided into volumes.
    std::optional<std::string> probe_volumes(BlockDevice& device);

  private:
    struct Loaded;
    void add(const std::string& search_folder, const std::string& name);
    const PluginManifest& require(const std::string& name) const;
    Loaded& load(const std::string& name, PluginKind kind);
    std::vector<PluginManifest> manifests_;
    std::map<std::string, std::string> refused_; ///< by name: the sentence that says why
    std::map<std::string, std::unique_ptr<Loaded>> loaded_;
};

/// "format", "filesystem" or "volumes".
DISKTOOL_API std::string_view kind_text(PluginKind kind);

/// Reads and checks one manifest; errors (usage) name file and line.
DISKTOOL_API PluginManifest read_manifest(const std::string& path);

} // namespace disktool
