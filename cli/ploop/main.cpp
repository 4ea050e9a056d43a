// SPDX-License-Identifier: LGPL-2.1-or-later
// ploop: words into a command, errors into the exit codes that scripts know.
#include "cancel_signals.h"
#include "command.h"
#include "device_commands.h"
#include "mount_helper.h"
#include "words.h"

#include <disktool/log.h>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace disktool::ploop::cli {

namespace {

constexpr int usual_verbosity = 3;
constexpr int parameter_exit = static_cast<int>(Exit::invalid_parameter);

int refuse_program_words(const std::string& message) {
    print(stderr, message + (message.empty() ? "" : "\n") + summary_text());
    return parameter_exit;
}

/// Also an option's value may be that word; then the output is JSON without need.
bool wants_json(const std::vector<std::string>& words) {
    return std::find(words.begin(), words.end(), "--json") != words.end();
}

void receive_log(Output& output) {
    set_log_receiver([&output](LogLevel level, std::string_view line) {
        if (level == LogLevel::warning) {
            output.warn(std::string(line));
        } else if (output.verbosity() > usual_verbosity) {
            output.error(std::string(line));
        }
    });
}

int report(Output& output, const Error& error, const char* usage) {
    const auto* usage_error = dynamic_cast<const UsageError*>(&error);
    const int exit = exit_code_of(error);
    const std::string message = error.what();
    Json& json = output.json()["error"];
    json = {{"code", name(error.code())}, {"exit", exit}};
    if (error.reason() != Reason::none) {
        json["reason"] = name(error.reason());
    }
    json["message"] = message.empty() ? "a word is missing, or there is one too many; see --help" : message;
    if (!message.empty()) {
        usage_error != nullptr ? print(stderr, message + "\n") : output.error(message);
    }
    if (usage_error != nullptr && usage != nullptr) {
        print(stderr, usage);
    }
    return exit;
}

int run_guarded(Options& options, const char* usage, const std::function<int()>& run) {
    Output& output = *options.output;
    try {
        return run();
    } catch (const Error& error) {
        return report(output, error, usage);
    } catch (const std::bad_alloc&) {
        return report(output, PloopError(Exit::no_memory, ErrorCode::failure, "out of memory"), nullptr);
    } catch (const std::exception& error) {
        return report(output, Error(ErrorCode::failure, fmt::format("internal error: {}", error.what())),
                      nullptr);
    }
}

/// The last word on the exit code: what could not be printed was not done.
int finish(Output& output, int exit) {
    output.finish(exit == 0);
    if (std::fflush(stdout) != 0 && exit == 0) {
        output.error(fmt::format("cannot write to standard output: {}", std::strerror(errno)));
        return static_cast<int>(Exit::write);
    }
    return exit;
}

int run_command(const Command* command, int verbosity, const std::vector<std::string>& words) {
    Output output(words.front(), verbosity, wants_json(words));
    CancelToken cancel;
    const CancelSignals signals(cancel, output.silent());
    receive_log(output);
    Options options;
    options.command = words.front();
    options.output = &output;
    options.cancel = &cancel;
    int exit = 0;
    try {
        exit = run_guarded(options, command != nullptr ? command->usage : nullptr, [&] {
            if (command == nullptr) {
                refuse_device_command(words.front());
            }
            return command->run(options, words);
        });
    } catch (const HelpRequested&) {
        output.result(command->usage);
        output.json()["usage"] = command->usage;
    }
    exit = finish(output, exit);
    set_log_receiver({});
    return exit;
}

/// As the original: a command that we do not have may be a program of its own, ploop-COMMAND.
int run_other_program(std::vector<std::string> words) {
    const std::string& name = words.front();
    const bool plain = std::all_of(name.begin(), name.end(), [](char letter) {
        return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '-';
    });
    if (plain && !name.empty()) {
        const std::string program = "ploop-" + name;
        std::vector<char*> arguments;
        for (std::string& word : words) {
            arguments.push_back(word.data());
        }
        arguments.push_back(nullptr);
        execvp(program.c_str(), arguments.data()); // returns only when there is no such program
    }
    return refuse_program_words(fmt::format("Unknown command: {}", name));
}

int help(const std::vector<std::string>& words) {
    if (words.size() < 2) {
        print(stdout, summary_text());
        return 0;
    }
    const Command* command = find_command(words[1]);
    if (command == nullptr) {
        return is_device_command(words[1]) ? run_command(nullptr, usual_verbosity, {words[1]})
                                           : refuse_program_words(fmt::format("Unknown command: {}", words[1]));
    }
    print(stdout, command->usage);
    return 0;
}

/// `words`: without the program's own name.
int run(std::vector<std::string> words) {
    int verbosity = usual_verbosity;
    auto word = words.begin();
    for (; word != words.end() && word->starts_with('-'); ++word) {
        if (*word == "--version") {
            print(stdout, fmt::format("ploop (disktool) {}\n", DISKTOOL_VERSION));
            return 0;
        }
        if (*word == "--help") {
            return help({"help"});
        }
        const std::optional<int> changed = verbosity_after(verbosity, *word);
        if (!changed) {
            return refuse_program_words(fmt::format("Bad option {}", *word));
        }
        verbosity = *changed;
    }
    words.erase(words.begin(), word);
    if (words.empty()) {
        return refuse_program_words("");
    }
    if (words.front() == "help") {
        return help(words);
    }
    const Command* command = find_command(words.front());
    if (command == nullptr && !is_device_command(words.front())) {
        return run_other_program(std::move(words));
    }
    return run_command(command, verbosity, words);
}

} // namespace

} // namespace disktool::ploop::cli

int main(int count, char** words) {
    try {
        using namespace disktool::ploop::cli;
        const std::string path = count > 0 ? words[0] : "";
        const std::string program = path.substr(path.find_last_of('/') + 1);
        const std::vector<std::string> rest(words + (count > 0 ? 1 : 0), words + count);
        return is_mount_helper(program) ? run_mount_helper(program, rest, run) : run(rest);
    } catch (const std::exception& error) {
        disktool::ploop::cli::print(stderr, fmt::format("ploop: internal error: {}\n", error.what()));
        return 1;
    }
}
