// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/appliance_loader.h"

#include "engine/own_place.h"

#include <disktool/error.h>

#include <boost/dll/shared_library.hpp>
#include <fmt/format.h>

#include <map>
#include <mutex>
#include <string_view>

namespace disktool {

namespace {

/// Boost puts the words of dlopen, which name the library that is missing, in brackets behind this.
std::string dlopen_words(std::string_view text) {
    constexpr std::string_view mark = "system message: ";
    if (const std::size_t at = text.find(mark); at != std::string_view::npos) {
        text.remove_prefix(at + mark.size());
        text = text.substr(0, text.rfind("): "));
    }
    return std::string(text);
}

MakeAppliance& make_appliance_of(const std::string& library) {
    static std::mutex mutex;
    // Never destroyed, so never unloaded: libguestfs has handlers of its own for the end of the program.
    static auto& loaded = *new std::map<std::string, boost::dll::shared_library>;
    const std::scoped_lock lock(mutex);
    boost::dll::shared_library& found = loaded[library];
    if (!found.is_loaded())
        found.load(library, boost::dll::load_mode::rtld_lazy | boost::dll::load_mode::rtld_local);
    return found.get<MakeAppliance>("disktool_make_appliance");
}

} // namespace

std::unique_ptr<Appliance> load_appliance(const ApplianceConfig& config) {
    return load_appliance(config, fmt::format("{}/{}/appliance.so", own_prefix(), DISKTOOL_ENGINE_DIR));
}

std::unique_ptr<Appliance> load_appliance(const ApplianceConfig& config, const std::string& library) {
    try {
        return std::unique_ptr<Appliance>(make_appliance_of(library)(&config));
    } catch (const boost::dll::fs::system_error& error) {
        throw Error(ErrorCode::program_missing,
                    fmt::format("The appliance cannot be loaded: {}. It is a part of disktool ({}) and needs "
                                "libguestfs (package libguestfs0)",
                                dlopen_words(error.what()), library),
                    Reason::appliance_unavailable);
    }
}

} // namespace disktool
