// SPDX-License-Identifier: LGPL-2.1-or-later
#include "plugin/registry.h"

#include "engine/own_place.h"
#include "plugin/shared_object.h"

#include <disktool/doors.h>
#include <disktool/error.h>
#include <disktool/log.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <utility>

namespace disktool {
namespace {

bool matches(const Magic& magic, std::span<const std::byte> head) {
    return magic.offset <= head.size() && magic.bytes.size() <= head.size() - magic.offset &&
           std::ranges::equal(magic.bytes, head.subspan(magic.offset, magic.bytes.size()));
}

bool matches(const Magic& magic, BlockDevice& device) {
    if (magic.offset > device.size() || magic.bytes.size() > device.size() - magic.offset) {
        return false;
    }
    std::vector<std::byte> found(magic.bytes.size());
    device.read(magic.offset, found);
    return found == magic.bytes;
}

/// The one that is surest, of those that are sure at all; of equals the first.
class BestGuess {
  public:
    void offer(const std::string& name, int confidence) {
        if (confidence > confidence_) {
            name_ = name;
            confidence_ = confidence;
        }
    }
    const std::optional<std::string>& name() const { return name_; }

  private:
    std::optional<std::string> name_;
    int confidence_ = 0;
};

template <typename Content>
bool recognises(const PluginManifest& manifest, Content&& content) {
    return std::any_of(manifest.magics.begin(), manifest.magics.end(),
                       [&](const Magic& magic) { return matches(magic, content); });
}

} // namespace

/// The object belongs to the shared object's code, so it goes before that.
struct Registry::Loaded {
    explicit Loaded(const PluginManifest& manifest) : library(manifest) {
        void* object = library.declaration().create();
        if (object == nullptr) {
            throw Error(ErrorCode::unsupported,
                        fmt::format("the plugin \"{}\" ({}) made no object", manifest.name, manifest.library));
        }
        switch (manifest.kind) {
        case PluginKind::format:
            format.reset(static_cast<FormatPlugin*>(object));
            break;
        case PluginKind::filesystem:
            filesystem.reset(static_cast<FilesystemPlugin*>(object));
            break;
        case PluginKind::volumes:
            volumes.reset(static_cast<VolumesPlugin*>(object));
            break;
        }
    }

    SharedObject library;
    std::unique_ptr<FormatPlugin> format;
    std::unique_ptr<FilesystemPlugin> filesystem;
    std::unique_ptr<VolumesPlugin> volumes;
};

std::vector<std::string> plugin_search_path(const std::vector<std::string>& configured) {
    std::vector<std::string> folders;
    if (const char* variable = std::getenv("DISKTOOL_PLUGIN_PATH")) {
        std::istringstream entries(variable);
        for (std::string entry; std::getline(entries, entry, ':');) {
            if (!entry.empty()) {
                folders.push_back(entry);
            }
        }
    }
    folders.insert(folders.end(), configured.begin(), configured.end());
    folders.push_back(fmt::format("{}/{}", own_prefix(), DISKTOOL_PLUGIN_DIR));
    return folders;
}

Registry::Registry(const std::vector<std::string>& search_path) {
    FileDoor& files = real_doors().files;
    for (const std::string& folder : search_path) {
        if (!files.status(folder)) {
            continue;
        }
        std::vector<std::string> names = files.list(folder);
        std::sort(names.begin(), names.end());
        for (const std::string& name : names) {
            if (files.status(fmt::format("{}/{}/plugin.yaml", folder, name))) {
                add(folder, name);
            }
        }
    }
}

Registry::~Registry() = default;

void Registry::add(const std::string& search_folder, const std::string& name) {
    if (find(name) != nullptr || refused_.contains(name)) {
        return; // the first of a name wins
    }
    const std::string folder = fmt::format("{}/{}", search_folder, name);
    const std::string manifest_path = folder + "/plugin.yaml";
    std::optional<std::string> refusal;
    for (const std::string& path :
         {search_folder, folder, manifest_path, fmt::format("{}/{}.so", folder, name)}) {
        refusal = refusal ? refusal : unsafe_to_load(path);
    }
    try {
        if (!refusal) {
            PluginManifest manifest = read_manifest(manifest_path);
            if (manifest.name == name) {
                manifests_.push_back(std::move(manifest));
                return;
            }
            refusal = fmt::format("{} names the plugin \"{}\", but lies in a folder \"{}\"", manifest_path,
                                  manifest.name, name);
        }
    } catch (const Error& error) {
        refusal = error.what();
    }
    refused_[name] = *refusal;
    log(LogLevel::warning, fmt::format("the plugin \"{}\" is left out: {}", name, *refusal));
}

const PluginManifest* Registry::find(const std::string& name) const {
    const auto found = std::find_if(manifests_.begin(), manifests_.end(),
                                    [&](const PluginManifest& manifest) { return manifest.name == name; });
    return found == manifests_.end() ? nullptr : &*found;
}

std::vector<const PluginManifest*> Registry::of_kind(PluginKind kind) const {
    std::vector<const PluginManifest*> found;
    for (const PluginManifest& manifest : manifests_) {
        if (manifest.kind == kind) {
            found.push_back(&manifest);
        }
    }
    return found;
}

const PluginManifest& Registry::require(const std::string& name) const {
    if (const PluginManifest* manifest = find(name)) {
        return *manifest;
    }
    if (const auto refused = refused_.find(name); refused != refused_.end()) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("the plugin \"{}\" may not be loaded: {}", name, refused->second));
    }
    throw Error(ErrorCode::unsupported,
                fmt::format("there is no plugin \"{}\"; --list-plugins shows those that there are", name));
}

Registry::Loaded& Registry::load(const std::string& name, PluginKind kind) {
    const PluginManifest& manifest = require(name);
    if (manifest.kind != kind) {
        throw Error(ErrorCode::unsupported,
                    fmt::format("the plugin \"{}\" is not one of the kind \"{}\"", name, kind_text(kind)));
    }
    std::unique_ptr<Loaded>& loaded = loaded_[name];
    if (!loaded) {
        loaded = std::make_unique<Loaded>(manifest);
    }
    return *loaded;
}

FormatPlugin& Registry::format(const std::string& name) {
    return *load(name, PluginKind::format).format;
}

FilesystemPlugin& Registry::filesystem(const std::string& name) {
    return *load(name, PluginKind::filesystem).filesystem;
}

VolumesPlugin& Registry::volumes(const std::string& name) {
    return *load(name, PluginKind::volumes).volumes;
}

const PluginDeclaration& Registry::declaration(const std::string& name) {
    return load(name, require(name).kind).library.declaration();
}

std::optional<std::string> Registry::probe_format(std::span<const std::byte> head, const std::string& path) {
    BestGuess best;
    for (const PluginManifest* manifest : of_kind(PluginKind::format)) {
        if (recognises(*manifest, head)) {
            best.offer(manifest->name, format(manifest->name).probe(head, path));
        }
    }
    return best.name();
}

std::optional<Registry::Described> Registry::image_behind(Doors doors, const std::string& path, Access access) {
    const std::optional<FileStatus> status = doors.files.status(path);
    if (!status) {
        return std::nullopt;
    }
    const bool folder = status->type == FileType::directory;
    const auto stands_for = [&](const std::string& descriptor) {
        const std::size_t dot = descriptor.rfind('.');
        return folder ? doors.files.status(path + "/" + descriptor).has_value()
                      : dot != std::string::npos && path.ends_with(descriptor.substr(dot));
    };
    for (const PluginManifest* manifest : of_kind(PluginKind::format)) {
        if (std::ranges::any_of(manifest->descriptors, stands_for)) {
            if (auto image = format(manifest->name).image_behind(doors, path, access)) {
                return Described{*image, manifest->name};
            }
        }
    }
    return std::nullopt;
}

std::optional<std::string> Registry::format_by_descriptor(Doors doors, const std::string& image_path) {
    const std::optional<FileStatus> wanted = doors.files.status(image_path);
    for (const PluginManifest* manifest : of_kind(PluginKind::format)) {
        for (const std::string& name : manifest->descriptors) {
            const std::string descriptor = directory_of(image_path) + "/" + name;
            if (!wanted || !doors.files.status(descriptor)) {
                continue;
            }
            try {
                const auto image = format(manifest->name).image_behind(doors, descriptor, Access::read);
                const auto status = image ? doors.files.status(*image) : std::nullopt;
                if (status && status->same_file(*wanted)) {
                    return manifest->name;
                }
            } catch (const Error& error) { // it says nothing of this file
                log(LogLevel::debug, error.what());
            }
        }
    }
    return std::nullopt;
}

std::optional<std::string> Registry::probe_filesystem(BlockDevice& device) {
    BestGuess best;
    for (const PluginManifest* manifest : of_kind(PluginKind::filesystem)) {
        if (recognises(*manifest, device)) {
            best.offer(manifest->name, filesystem(manifest->name).probe(device));
        }
    }
    return best.name();
}

std::optional<std::string> Registry::probe_volumes(BlockDevice& device) {
    BestGuess best;
    for (const PluginManifest* manifest : of_kind(PluginKind::volumes)) {
        if (recognises(*manifest, device)) {
            best.offer(manifest->name, volumes(manifest->name).probe(device));
        }
    }
    return best.name();
}

std::string_view kind_text(PluginKind kind) {
    switch (kind) {
    case PluginKind::format:
        return "format";
    case PluginKind::filesystem:
        return "filesystem";
    case PluginKind::volumes:
        break;
    }
    return "volumes";
}

} // namespace disktool
