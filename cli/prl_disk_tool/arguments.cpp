// SPDX-License-Identifier: LGPL-2.1-or-later
#include "arguments.h"

#include "size_argument.h"

#include <disktool/error.h>

#include <boost/program_options.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

namespace disktool::cli {

namespace {

namespace po = boost::program_options;

[[noreturn]] void refuse(const std::string& sentence) {
    throw Error(ErrorCode::usage, sentence);
}

/// Takes words in the order of the command line; Boost.Program_options splits them.
po::options_description known_options() {
    po::options_description options;
    auto add = options.add_options();
    add("hdd", po::value<std::string>());
    add("size", po::value<std::string>());
    add("units", po::value<std::string>());
    add("info,i", "");
    add("resize_partition", "");
    add("partition", po::value<std::string>());
    add("discard-tail", "");
    add("external", "");
    add("force-merge-shared", "");
    add("plain", "");
    add("expanding", "");
    add("format", po::value<std::string>());
    add("output", po::value<std::string>());
    add("verify", "");
    add("svg", po::value<std::string>());
    add("mount_point,m", po::value<std::string>());
    add("options,o", po::value<std::string>());
    add("type,t", po::value<std::string>());
    add("read-only,r", "");
    add("force", "");
    add("comm", po::value<std::string>());
    add("dry-run,n", "");
    add("verbose,v", "");
    add("quiet,q", "");
    add("json", "");
    add("progress", po::value<std::string>()->implicit_value("2"));
    add("engine", po::value<std::string>());
    add("wait", po::value<std::string>()->implicit_value("0"));
    add("allow-backing", po::value<std::vector<std::string>>()->composing());
    add("list-plugins", "");
    add("dump-plugin", po::value<std::string>());
    add("help,h", "");
    add("usage", "");
    add("version", "");
    add("operand", po::value<std::vector<std::string>>());
    return options;
}

int number(const std::string& text, const char* option) {
    int value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < 0) {
        refuse(fmt::format("{} takes a whole number, not \"{}\"", option, text));
    }
    return value;
}

po::variables_map split(int count, const char* const* words) {
    po::options_description options = known_options();
    po::positional_options_description positional;
    positional.add("operand", -1);
    // Without guessing: an abbreviation that works today would be another option tomorrow.
    int style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
    po::variables_map values;
    try {
        po::store(
            po::command_line_parser(count, words).options(options).positional(positional).style(style).run(),
            values);
        po::notify(values);
    } catch (const po::error& error) {
        refuse(error.what());
    }
    return values;
}

struct Verb {
    const char* name;
    Action action;
    std::optional<Action> info; ///< with --info
};
constexpr Verb verbs[] = {{"resize", Action::resize, Action::resize_info},
                          {"compact", Action::compact, Action::compact_info},
                          {"merge", Action::merge, {}},
                          {"convert", Action::convert, Action::convert_info},
                          {"recover", Action::recover, {}},
                          {"info", Action::info, {}},
                          {"map", Action::map, {}},
                          {"mount", Action::mount, {}},
                          {"umount", Action::umount, {}}};

/// The verb is the one operand, wherever it stands.
void take_verb(Arguments& arguments, const po::variables_map& values) {
    std::vector<std::string> operands;
    if (values.count("operand") != 0) {
        operands = values["operand"].as<std::vector<std::string>>();
    }
    if (operands.empty()) {
        return;
    }
    arguments.verb = operands.front();
    bool info = values.count("info") != 0;
    for (const Verb& verb : verbs) {
        if (arguments.verb == verb.name) {
            if (info && !verb.info) {
                refuse(fmt::format("{} does not take --info", verb.name));
            }
            arguments.action = info ? *verb.info : verb.action;
            if (operands.size() > 1) {
                refuse(fmt::format("{}: unexpected word \"{}\"; the image is given with --hdd", arguments.verb,
                                   operands[1]));
            }
            return;
        }
    }
    refuse(fmt::format("Unknown action: {} ", arguments.verb));
}

/// An option that the chosen verb does not have is a mistake, not something to pass over.
void check_options_fit(const Arguments& arguments, const po::variables_map& values) {
    auto only_for = [&](const char* option, std::initializer_list<Action> actions) {
        bool fits = std::find(actions.begin(), actions.end(), arguments.action) != actions.end();
        if (values.count(option) != 0 && !fits) {
            refuse(fmt::format("{}{} does not take --{}", arguments.verb,
                               values.count("info") != 0 ? " --info" : "", option));
        }
    };
    only_for("size", {Action::resize});
    only_for("resize_partition", {Action::resize});
    only_for("units", {Action::resize_info});
    only_for("partition", {Action::resize});
    only_for("discard-tail", {Action::resize});
    only_for("external", {Action::merge});
    only_for("force-merge-shared", {Action::merge});
    for (const char* option : {"plain", "expanding", "format", "output", "verify"}) {
        only_for(option, {Action::convert});
    }
    only_for("svg", {Action::map});
    only_for("mount_point", {Action::mount, Action::umount});
    for (const char* option : {"options", "type", "read-only"}) {
        only_for(option, {Action::mount});
    }
    only_for("dry-run", {Action::resize, Action::compact, Action::merge, Action::convert, Action::recover,
                         Action::mount, Action::umount});
}

void take_mount(Arguments& arguments, const po::variables_map& values) {
    const auto text = [&](const char* option) {
        return values.count(option) != 0 ? values[option].as<std::string>() : std::string();
    };
    arguments.mount_point = text("mount_point");
    arguments.mount_options = text("options");
    arguments.filesystem = text("type");
    arguments.read_only = values.count("read-only") != 0;
    if (arguments.mount_point.empty() && (!arguments.mount_options.empty() || !arguments.filesystem.empty())) {
        refuse("--options and --type are about the file system that is mounted: give --mount_point, too");
    }
}

void take_resize(Arguments& arguments, const po::variables_map& values) {
    if (values.count("size") == 0) {
        refuse("Target size not found: give it with --size");
    }
    arguments.size = parse_size(values["size"].as<std::string>());
    arguments.resize_partition = values.count("resize_partition") != 0;
    arguments.discard_tail = values.count("discard-tail") != 0;
    if (values.count("partition") == 0) {
        return;
    }
    if (!arguments.resize_partition) {
        refuse("--partition says which partition --resize_partition is to resize: give that too");
    }
    arguments.partition = number(values["partition"].as<std::string>(), "--partition");
    if (arguments.partition == 0) {
        refuse("--partition counts from 1");
    }
}

void take_merge(Arguments& arguments, const po::variables_map& values) {
    arguments.external = values.count("external") != 0;
    arguments.force_merge_shared = values.count("force-merge-shared") != 0;
    if (arguments.force_merge_shared && !arguments.external) {
        refuse("--force-merge-shared is about the backing chain: it goes with --external");
    }
}

void take_convert(Arguments& arguments, const po::variables_map& values) {
    arguments.plain = values.count("plain") != 0;
    arguments.expanding = values.count("expanding") != 0;
    if (values.count("format") != 0) {
        arguments.format = values["format"].as<std::string>();
    }
    if (values.count("output") != 0) {
        arguments.output = values["output"].as<std::string>();
    }
    arguments.verify = values.count("verify") != 0;
    const int ways =
        (arguments.plain ? 1 : 0) + (arguments.expanding ? 1 : 0) + (arguments.format.empty() ? 0 : 1);
    if (ways != 1) {
        refuse("Either --plain or --expanding must be specified, or --format NAME with --output PATH");
    }
    if (arguments.format.empty() && (!arguments.output.empty() || arguments.verify)) {
        refuse("--output and --verify go with --format NAME");
    }
    if (!arguments.format.empty() && arguments.output.empty()) {
        refuse("--format needs --output PATH: the converted disk is a new file beside the old one");
    }
}

void take_common(Arguments& arguments, const po::variables_map& values) {
    arguments.verbose = values.count("verbose") != 0;
    arguments.quiet = values.count("quiet") != 0;
    arguments.json = values.count("json") != 0;
    arguments.dry_run = values.count("dry-run") != 0;
    if (values.count("progress") != 0) {
        arguments.progress_descriptor = number(values["progress"].as<std::string>(), "--progress");
    }
    if (values.count("wait") != 0) {
        arguments.wait = std::chrono::seconds(number(values["wait"].as<std::string>(), "--wait"));
    }
    if (values.count("allow-backing") != 0) {
        arguments.allow_backing = values["allow-backing"].as<std::vector<std::string>>();
    }
    if (values.count("engine") != 0) {
        arguments.engine = engine_by_name(values["engine"].as<std::string>());
        if (!arguments.engine) {
            refuse(fmt::format("Unknown engine \"{}\": give auto, native or appliance",
                               values["engine"].as<std::string>()));
        }
    }
}

} // namespace

Arguments parse_arguments(int count, const char* const* words) {
    po::variables_map values = split(count, words);
    Arguments arguments;
    arguments.action = Action::help;
    bool asks_for_text = true;
    if (values.count("version") != 0) {
        arguments.action = Action::version;
    } else if (values.count("list-plugins") != 0) {
        arguments.action = Action::list_plugins;
    } else if (values.count("dump-plugin") != 0) {
        arguments.action = Action::dump_plugin;
        arguments.plugin = values["dump-plugin"].as<std::string>();
    } else {
        asks_for_text = values.count("help") != 0 || values.count("usage") != 0;
        take_verb(arguments, values);
        if (arguments.verb.empty() && !asks_for_text) {
            refuse("No operation specified");
        }
    }
    take_common(arguments, values);
    if (values.count("help") != 0) {
        arguments.action = Action::help;
    } else if (values.count("usage") != 0) {
        arguments.action = Action::usage;
    }
    if (asks_for_text) {
        return arguments;
    }
    check_options_fit(arguments, values);
    if (arguments.action == Action::mount || arguments.action == Action::umount) {
        take_mount(arguments, values);
    }
    const bool by_folder = arguments.action == Action::umount && !arguments.mount_point.empty();
    const bool named = values.count("hdd") != 0 && !values["hdd"].as<std::string>().empty();
    if (named == by_folder) {
        refuse(by_folder ? "Give either --hdd or --mount_point: what is to be unmounted"
                         : "Invalid disk path: name the image with --hdd");
    }
    if (named) {
        arguments.image = values["hdd"].as<std::string>();
    }
    if (arguments.action == Action::resize) {
        take_resize(arguments, values);
    } else if (arguments.action == Action::merge) {
        take_merge(arguments, values);
    } else if (arguments.action == Action::convert) {
        take_convert(arguments, values);
    }
    if (values.count("svg") != 0) {
        arguments.svg = values["svg"].as<std::string>();
    }
    if (values.count("units") != 0) {
        arguments.unit = parse_unit(values["units"].as<std::string>());
    }
    return arguments;
}

} // namespace disktool::cli
