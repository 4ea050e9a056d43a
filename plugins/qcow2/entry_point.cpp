// SPDX-License-Identifier: LGPL-2.1-or-later
#include "big_endian.h"
#include "header.h"
#include "image.h"
#include "new_image.h"
#include "plugin.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <type_traits>
#include <utility>
#include <variant>

namespace disktool::qcow2 {

namespace {

/// "name=value" as qemu-img's -o takes it, where a comma in a value is written twice.
std::string option_text(const std::string& name, const DetailValue& value) {
    const std::string text = std::visit(
        [](const auto& v) -> std::string {
            using Value = std::decay_t<decltype(v)>;
            if constexpr (std::is_same_v<Value, bool>) {
                return v ? "on" : "off";
            } else {
                return fmt::format("{}", v);
            }
        },
        value);
    std::string result = name + "=";
    for (const char c : text) {
        result += c == ',' ? ",," : std::string(1, c);
    }
    return result;
}

CommandResult run_qemu_img(Doors doors, const Command& command) {
    try {
        return doors.processes.run(command);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::program_missing) {
            throw;
        }
        throw Error(error.code(),
                    fmt::format("{}; install the package qemu-utils (Debian's name)", error.what()),
                    Reason::program_missing);
    }
}

} // namespace

Plugin::~Plugin() = default;

int Plugin::probe(std::span<const std::byte> head, const std::string&) {
    return head.size() >= sizeof magic && load_big_endian<std::uint32_t>(head, field::magic) == magic ? 100 : 0;
}

std::unique_ptr<disktool::Image> Plugin::open(std::unique_ptr<ImageOpener> opener) {
    return std::make_unique<Image>(std::move(opener));
}

void Plugin::create(Doors doors, const CreateRequest& request) {
    if (doors.files.status(request.path, false)) {
        throw Error(ErrorCode::failure, fmt::format("{} exists already; it is not overwritten.", request.path));
    }
    Command command;
    command.arguments = {"qemu-img", "create", "-q", "-f", "qcow2"};
    for (const auto& [name, value] : request.options) {
        command.arguments.insert(command.arguments.end(), {"-o", option_text(name, value)});
    }
    // A path that starts with a dash, or that qemu would take for a protocol ("a:b"), is still a path.
    const bool plain = request.path.starts_with('/') || request.path.starts_with("./");
    command.arguments.push_back(plain ? request.path : "./" + request.path);
    command.arguments.push_back(fmt::format("{}", request.virtual_size));
    const CommandResult result = run_qemu_img(doors, command);
    if (!result.ok()) {
        throw Error(ErrorCode::failure,
                    fmt::format("qemu-img could not create {}: {}", request.path, result.errors));
    }
}

std::optional<std::string> Plugin::backing_name(File& file) {
    const Header header = parse_header(file);
    return header.backing_name.empty() ? std::nullopt : std::optional(header.backing_name);
}

std::unique_ptr<WorkingDisk> Plugin::create_disk(Doors doors, const CreateRequest& request) {
    create(doors, request);
    return open_new_image(doors, request.path);
}

} // namespace disktool::qcow2
