// SPDX-License-Identifier: LGPL-2.1-or-later
#include "plan/plan_text.h"

#include <disktool/size.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace disktool {
namespace {

using Json = nlohmann::ordered_json;

std::string cost_text(const Cost& cost) {
    std::string text;
    const auto add = [&](std::string_view what, std::uint64_t bytes) {
        if (bytes > 0) {
            text += fmt::format(", {} {}", what, size_text(bytes));
        }
    };
    add("reads", cost.read);
    add("writes", cost.written);
    add("gives back", cost.discarded);
    add("needs free space of", cost.space);
    return text;
}

Json cost_json(const Cost& cost) {
    return {
        {"read", cost.read}, {"written", cost.written}, {"discarded", cost.discarded}, {"space", cost.space}};
}

} // namespace

std::string plan_text(const Plan& plan) {
    std::string text = plan.empty() ? "Nothing to do.\n" : "";
    std::size_t number = 0;
    for (const auto& step : plan.steps()) {
        text += fmt::format("{}. {} ({}{})\n", ++number, step->text(), step->engine(), cost_text(step->cost()));
    }
    for (const std::string& note : plan.notes()) {
        text += fmt::format("Note: {}\n", note);
    }
    return text;
}

Json plan_json(const Plan& plan) {
    Json steps = Json::array();
    for (const auto& step : plan.steps()) {
        steps.push_back({{"kind", step->kind()},
                         {"text", step->text()},
                         {"engine", step->engine()},
                         {"cost", cost_json(step->cost())},
                         {"details", details_json(step->details())}});
    }
    return {{"verb", plan.verb()},
            {"image", plan.image()},
            {"steps", std::move(steps)},
            {"notes", plan.notes()},
            {"cost", cost_json(plan.cost())}};
}

Json details_json(const Details& details) {
    Json object = Json::object();
    for (const auto& [name, value] : details) {
        object[name] = std::visit([](const auto& plain) { return Json(plain); }, value);
    }
    return object;
}

} // namespace disktool
