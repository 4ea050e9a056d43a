// SPDX-License-Identifier: LGPL-2.1-or-later
// What is printed, and where: results and lines of progress on standard output, errors and warnings on standard
// error, with --json one object on standard output.
#pragma once

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdio>
#include <string>

namespace disktool::ploop::cli {

using Json = nlohmann::ordered_json;

/// Unlike fmt::print it does not throw where nobody reads any more: main looks at standard output once, at its
/// end.
void print(std::FILE* stream, const std::string& text);

/// Threads: one at a time.
class Output {
  public:
    /// Verbosity: 3 is usual; from 4 on lines of progress and errors begin with the seconds since the start; -1
    /// silences standard output, -2 both.
    Output(std::string command, int verbosity, bool json);
    Output(const Output&) = delete;
    Output& operator=(const Output&) = delete;

    int verbosity() const { return verbosity_; }
    bool json_wanted() const { return json_wanted_; }
    bool silent() const { return json_wanted_ || verbosity_ < 0; }

    /// What is being done: "Storing X.xml". With --json: in "messages".
    void say(const std::string& line);
    /// The same on standard error, where standard output may carry data.
    void say_aside(const std::string& line);
    /// What was asked for, as it is, with its newlines. With --json nothing: the caller puts the same into
    /// json().
    void result(const std::string& text) const;
    /// Something that went wrong. Whether it is the command's error is its exit code's affair.
    void error(const std::string& line);
    /// With --json also in "warnings".
    void warn(const std::string& line);

    const Json& messages() const { return messages_; }
    const Json& warnings() const { return warnings_; }
    /// Members of the object that finish() prints.
    Json& json() { return json_; }
    /// Once, at the end.
    void finish(bool ok);

  private:
    std::string stamp() const;

    int verbosity_;
    bool json_wanted_;
    std::chrono::steady_clock::time_point start_;
    std::string command_;
    Json json_ = Json::object();
    Json messages_ = Json::array();
    Json warnings_ = Json::array();
};

} // namespace disktool::ploop::cli
