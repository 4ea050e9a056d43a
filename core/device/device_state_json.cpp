// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/device_state_json.h"

#include <fmt/format.h>

#include <climits>
#include <stdexcept>
#include <string_view>

namespace disktool {

namespace {

using Json = nlohmann::ordered_json;

constexpr int state_version = 1;
// No disk has more: a descriptor's chain holds 127, the kernel numbers 255 partitions.
constexpr std::size_t most_images = 1024;
constexpr std::size_t most_partitions = 256;

/// What is not as it should be, in a few words.
class NotAState : public std::runtime_error {
  public:
    using runtime_error::runtime_error;
};

const Json& member(const Json& json, const char* key) {
    const auto found = json.is_object() ? json.find(key) : json.end();
    if (found == json.end()) {
        throw NotAState(fmt::format("{} is missing", key));
    }
    return *found;
}

std::string text(const Json& json, const char* key) {
    const Json& value = member(json, key);
    if (!value.is_string()) {
        throw NotAState(fmt::format("{} is not a string", key));
    }
    return value.get<std::string>();
}

std::uint64_t number(const Json& json, const char* key, std::uint64_t largest) {
    const Json& value = member(json, key);
    if (!value.is_number_integer() || (!value.is_number_unsigned() && value.get<std::int64_t>() < 0) ||
        value.get<std::uint64_t>() > largest) {
        throw NotAState(fmt::format("{} is not a number that it can be", key));
    }
    return value.get<std::uint64_t>();
}

bool truth(const Json& json, const char* key) {
    const Json& value = member(json, key);
    if (!value.is_boolean()) {
        throw NotAState(fmt::format("{} is neither true nor false", key));
    }
    return value.get<bool>();
}

const Json& list(const Json& json, const char* key, std::size_t most) {
    const Json& value = member(json, key);
    if (!value.is_array() || value.size() > most) {
        throw NotAState(fmt::format("{} is not a list of at most {}", key, most));
    }
    return value;
}

/// It is opened, and detached when the device is dead.
bool is_loop_node(std::string_view node) {
    constexpr std::string_view start = "/dev/loop";
    return node.starts_with(start) && node.size() > start.size() &&
           node.find_first_not_of("0123456789", start.size()) == std::string_view::npos;
}

DeviceState read_state(const Json& json) {
    if (number(json, "version", INT_MAX) != state_version) {
        throw NotAState("it is of another version");
    }
    DeviceState state;
    state.minor = static_cast<int>(number(json, "minor", INT_MAX));
    state.node = text(json, "node");
    state.loop = text(json, "loop");
    state.loop_name = text(json, "loop_name");
    state.backend = text(json, "backend");
    state.pid = static_cast<int>(number(json, "pid", INT_MAX));
    state.format = text(json, "format");
    state.disk = text(json, "disk");
    state.descriptor = text(json, "descriptor");
    for (const Json& image : list(json, "images", most_images)) {
        state.images.push_back(
            {text(image, "path"), number(image, "device", UINT64_MAX), number(image, "inode", UINT64_MAX)});
    }
    state.snapshot = text(json, "snapshot");
    state.component = text(json, "component");
    state.read_only = truth(json, "read_only");
    for (const Json& partition : list(json, "partitions", most_partitions)) {
        state.partitions.push_back({static_cast<int>(number(partition, "number", most_partitions)),
                                    text(partition, "node"), number(partition, "offset", INT64_MAX),
                                    number(partition, "length", INT64_MAX)});
    }
    if (state.node != "/dev/" + state.name()) {
        throw NotAState("its node has another name");
    }
    for (const DevicePartition& partition : state.partitions) {
        if (partition.node != fmt::format("{}p{}", state.node, partition.number)) {
            throw NotAState("the node of a partition has another name");
        }
    }
    if (!state.loop.empty() && !is_loop_node(state.loop)) {
        throw NotAState("what it calls a loop device is none");
    }
    return state;
}

} // namespace

nlohmann::ordered_json json_of(const DeviceState& state) {
    Json json{{"version", state_version},
              {"minor", state.minor},
              {"node", state.node},
              {"loop", state.loop},
              {"loop_name", state.loop_name},
              {"backend", state.backend},
              {"pid", state.pid},
              {"format", state.format},
              {"disk", state.disk},
              {"descriptor", state.descriptor},
              {"images", Json::array()},
              {"snapshot", state.snapshot},
              {"component", state.component},
              {"read_only", state.read_only},
              {"partitions", Json::array()}};
    for (const DeviceImage& image : state.images) {
        json["images"].push_back({{"path", image.path}, {"device", image.device}, {"inode", image.inode}});
    }
    for (const DevicePartition& partition : state.partitions) {
        json["partitions"].push_back({{"number", partition.number},
                                      {"node", partition.node},
                                      {"offset", partition.offset},
                                      {"length", partition.length}});
    }
    return json;
}

std::optional<DeviceState> device_state_of(const nlohmann::ordered_json& json, std::string& why) {
    try {
        return read_state(json);
    } catch (const NotAState& what) {
        why = what.what();
        return std::nullopt;
    }
}

} // namespace disktool
