// SPDX-License-Identifier: LGPL-2.1-or-later
#include "output.h"

#include <fmt/format.h>

#include <utility>

namespace disktool::ploop::cli {

void print(std::FILE* stream, const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stream);
}

Output::Output(std::string command, int verbosity, bool json)
    : verbosity_(verbosity), json_wanted_(json), start_(std::chrono::steady_clock::now()),
      command_(std::move(command)) {}

std::string Output::stamp() const {
    if (verbosity_ < 4) {
        return {};
    }
    const auto passed =
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start_);
    return fmt::format("[{:2}.{:06}] ", passed.count() / 1'000'000, passed.count() % 1'000'000);
}

void Output::say(const std::string& line) {
    messages_.push_back(line);
    if (!silent()) {
        print(stdout, stamp() + line + "\n");
        std::fflush(stdout); // a pipe's reader sees what is going on while it goes on
    }
}

void Output::say_aside(const std::string& line) {
    messages_.push_back(line);
    if (!silent()) {
        print(stderr, stamp() + line + "\n");
    }
}

void Output::result(const std::string& text) const {
    if (!silent()) {
        print(stdout, text);
    }
}

void Output::error(const std::string& line) {
    if (verbosity_ > -2) {
        print(stderr, stamp() + line + "\n");
    }
}

void Output::warn(const std::string& line) {
    warnings_.push_back(line);
    error(line);
}

void Output::finish(bool ok) {
    if (!json_wanted_) {
        return;
    }
    Json object = {{"command", command_}, {"ok", ok}};
    object.update(json_);
    object["messages"] = messages_;
    object["warnings"] = warnings_;
    print(stdout, object.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

} // namespace disktool::ploop::cli
