// SPDX-License-Identifier: LGPL-2.1-or-later
// prl_disk_tool: words into a request, errors into exit codes.
#include "arguments.h"
#include "command.h"
#include "common/signals.h"
#include "running.h"

#include <disktool/error.h>
#include <disktool/log.h>

#include <fmt/format.h>

#include <cstdio>
#include <cstring>

namespace disktool::cli {

namespace {

void dispatch(Run& run) {
    switch (run.arguments().action) {
    case Action::resize:
        return run_resize(run);
    case Action::resize_info:
        return run_resize_info(run);
    case Action::compact:
        return run_compact(run);
    case Action::compact_info:
        return run_compact_info(run);
    case Action::merge:
        return run_merge(run);
    case Action::convert:
        return run_convert(run);
    case Action::convert_info:
        return run_convert_info(run);
    case Action::recover:
        return run_recover(run);
    case Action::info:
        return run_info(run);
    case Action::map:
        return run_map(run);
    case Action::mount:
        return run_mount(run);
    case Action::umount:
        return run_umount(run);
    case Action::list_plugins:
        return run_list_plugins(run);
    case Action::dump_plugin:
        return run_dump_plugin(run);
    case Action::help:
    case Action::usage:
    case Action::version:
        return; // answered before anything is loaded
    }
}

/// Help and version need neither configuration nor plugins.
bool answer_at_once(const Arguments& arguments) {
    switch (arguments.action) {
    case Action::help:
        fmt::print("{}", help_text(arguments.verb));
        return true;
    case Action::usage:
        fmt::print("{}", usage_text(arguments.verb));
        return true;
    case Action::version:
        fmt::print("prl_disk_tool (disktool) {}\n", DISKTOOL_VERSION);
        return true;
    default:
        return false;
    }
}

void receive_log(const Arguments& arguments) {
    set_log_receiver(
        [verbose = arguments.verbose, quiet = arguments.quiet](LogLevel level, std::string_view line) {
            if (verbose || (level == LogLevel::warning && !quiet)) {
                fmt::print(stderr, "{}\n", line);
            }
        });
}

void execute(const Arguments& arguments) {
    if (answer_at_once(arguments)) {
        return;
    }
    receive_log(arguments);
    CancelToken cancel;
    SignalHandlers signals(cancel);
    Config config = load_config();
    Registry registry(plugin_search_path(config.plugin_path));
    Run run(arguments, config, registry, cancel);
    try {
        dispatch(run);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::locked) {
            explain_lock(run);
        }
        throw;
    }
    run.finish();
}

/// Also looks at the raw words: a command line that could not be parsed may have asked for JSON.
bool wants_json(int count, char** words) {
    for (int i = 1; i < count; ++i) {
        if (std::strcmp(words[i], "--json") == 0) {
            return true;
        }
    }
    return false;
}

int report(const Error& error, bool json) {
    if (json) {
        fmt::print("{}\n",
                   Json{{"error", error_json(error)}}.dump(2, ' ', false, Json::error_handler_t::replace));
    }
    fmt::print(stderr, "{}\n", error.what());
    if (error.code() == ErrorCode::usage && !json) {
        fmt::print(stderr, "{}", usage_text(""));
    }
    return static_cast<int>(error.code());
}

} // namespace

} // namespace disktool::cli

int main(int count, char** words) {
    using namespace disktool;
    bool json = cli::wants_json(count, words);
    try {
        cli::execute(cli::parse_arguments(count, words));
    } catch (const Error& error) {
        return cli::report(error, json);
    } catch (const std::bad_alloc&) {
        return cli::report(Error(ErrorCode::failure, "out of memory"), json);
    } catch (const std::exception& error) {
        return cli::report(Error(ErrorCode::failure, fmt::format("internal error: {}", error.what())), json);
    }
    if (std::fflush(stdout) != 0) {
        fmt::print(stderr, "cannot write to standard output: {}\n", std::strerror(errno));
        return static_cast<int>(ErrorCode::failure);
    }
    return 0;
}
