// SPDX-License-Identifier: LGPL-2.1-or-later
// What is the same for every process door, real or of a test.
#include <disktool/error.h>
#include <disktool/last_words.h>
#include <disktool/subprocess.h>

#include <fmt/format.h>

#include <string_view>

namespace disktool {

namespace {

std::string quoted(const std::string& word) {
    constexpr std::string_view plain =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:=,+@%";
    if (!word.empty() && word.find_first_not_of(plain) == std::string::npos)
        return word;
    std::string result = "'";
    for (const char c : word) {
        if (c == '\'')
            result += "'\\''";
        else
            result += c;
    }
    return result + "'";
}

} // namespace

Process::~Process() = default;
ProcessDoor::~ProcessDoor() = default;

std::string Command::text() const {
    std::string result;
    for (const std::string& argument : arguments) {
        if (!result.empty())
            result += ' ';
        result += quoted(argument);
    }
    return result;
}

CommandResult ProcessDoor::run_checked(const Command& command) {
    CommandResult result = run(command);
    if (result.ok())
        return result;
    std::string sentence = fmt::format("\"{}\" ", command.text());
    if (result.timed_out)
        sentence += fmt::format("did not end within {} ms and was stopped", result.duration.count());
    else if (result.exit_status > 128)
        sentence += fmt::format("was ended by signal {}", result.exit_status - 128);
    else
        sentence += fmt::format("failed with exit status {}", result.exit_status);
    if (const std::string why = last_words(result); !why.empty())
        sentence += fmt::format(": {}", why);
    throw Error(ErrorCode::program_missing, sentence);
}

} // namespace disktool
