// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mount_helper_words.h"

#include "errors.h"

#include <fmt/format.h>
#include <getopt.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace disktool::ploop::cli {

namespace {

/// mount(8) keeps what begins with x- to itself.
constexpr std::string_view own = "ploop.";
/// By which umount(8) finds the way back to us. (Its uhelper= is only for users without rights.)
constexpr std::string_view way_back = "helper=ploop";

struct HelperWords {
    std::vector<std::string> operands;
    std::string options;
    bool read_only = false, fake = false, verbose = false;
};

/// What mount(8) and umount(8) are written to pass on, and no more.
HelperWords read_words(const std::string& program, std::vector<std::string> words) {
    HelperWords read;
    words.insert(words.begin(), program);
    std::vector<char*> pointers;
    for (std::string& word : words) {
        pointers.push_back(word.data());
    }
    pointers.push_back(nullptr);
    constexpr option names[] = {{"help", no_argument, nullptr, 'h'}, {nullptr, 0, nullptr, 0}};
    opterr = 0;
    optind = 0;
    for (;;) {
        const int letter =
            getopt_long(static_cast<int>(words.size()), pointers.data(), "hsfnvrwlo:t:N:", names, nullptr);
        switch (letter) {
        case -1:
            for (std::size_t i = static_cast<std::size_t>(optind); i < words.size(); ++i) {
                read.operands.emplace_back(pointers[i]);
            }
            return read;
        case 'o':
            read.options += (read.options.empty() ? "" : ",") + std::string(optarg);
            break;
        case 'r':
            read.read_only = true;
            break;
        case 'f':
            read.fake = true;
            break;
        case 'v':
            read.verbose = true;
            break;
        case 'h':
            throw HelpRequested{};
        case 'N':
            throw UsageError(fmt::format("{}: run mount(8) inside the name space instead of -N", program));
        case '?':
            // No letter: a long name that is not known, which getopt has passed already.
            throw UsageError(fmt::format("{}: there is no option {}. {}", program,
                                         optopt != 0 && optopt != 'h'
                                             ? fmt::format("-{}", static_cast<char>(optopt))
                                             : std::string(pointers[static_cast<std::size_t>(optind) - 1]),
                                         helper_usage(program)));
        default:
            break; // -s, -n, -w, -l, -t: nothing to do
        }
    }
}

/// At commas that stand in no quotes.
std::vector<std::string> split_options(const std::string& text) {
    std::vector<std::string> options{""};
    bool quoted = false;
    for (const char letter : text) {
        quoted = quoted != (letter == '"');
        if (letter == ',' && !quoted) {
            options.emplace_back();
        } else {
            options.back() += letter;
        }
    }
    std::erase(options, "");
    return options;
}

/// Ours, as words of ploop mount.
std::vector<std::string> own_words(const std::string& option) {
    const std::size_t equals = std::min(option.find('='), option.size());
    const std::string name = option.substr(own.size(), equals - own.size());
    const std::string value = equals < option.size() ? option.substr(equals + 1) : "";
    if (name == "fsck") {
        return {"-F"};
    }
    const std::pair<std::string_view, std::string> known[] = {
        {"uuid", "-u"}, {"component", "-c"}, {"device", "-d"}, {"fstype", "-t"}, {"backend", "--backend"}};
    for (const auto& [ours, word] : known) {
        if (name == ours && !value.empty()) {
            return {word, value};
        }
    }
    throw UsageError(fmt::format("mount.ploop: \"{}\" is none of ploop.uuid=, ploop.component=, "
                                 "ploop.device=, ploop.fstype=, ploop.backend=, ploop.fsck",
                                 option));
}

} // namespace

std::string helper_usage(const std::string& program) {
    return program == "mount.ploop"
               ? "Usage: mount.ploop { DiskDescriptor.xml | IMAGE } DIR [-sfnvrw] [-o OPTIONS]"
               : "Usage: umount.ploop DIR [-flnrv]";
}

HelperCall mount_call(const std::vector<std::string>& words) {
    const HelperWords read = read_words("mount.ploop", words);
    if (read.operands.size() != 2) {
        throw UsageError(helper_usage("mount.ploop"));
    }
    HelperCall call;
    call.disk = read.operands[0];
    call.folder = read.operands[1];
    call.quiet = !read.verbose;
    std::vector<std::string> rest;
    std::vector<std::string> ours;
    bool remount = false;
    for (const std::string& option : split_options(read.options)) {
        if (option.starts_with(own)) {
            for (std::string& word : own_words(option)) {
                ours.push_back(std::move(word));
            }
        } else if (option == "remount") {
            remount = true;
        } else {
            rest.push_back(option);
        }
    }
    if (read.read_only && std::find(rest.begin(), rest.end(), "ro") == rest.end()) {
        rest.emplace_back("ro");
    }
    if (read.fake) {
        return call;
    }
    if (remount) {
        call.remount = fmt::format("{}", fmt::join(rest, ","));
        return call;
    }
    rest.emplace_back(way_back);
    call.words = {"mount", "-m", call.folder, "-o", fmt::format("{}", fmt::join(rest, ","))};
    call.words.insert(call.words.end(), ours.begin(), ours.end());
    call.words.insert(call.words.end(), {"--", call.disk});
    return call;
}

HelperCall umount_call(const std::vector<std::string>& words) {
    const HelperWords read = read_words("umount.ploop", words);
    if (read.operands.size() != 1) {
        throw UsageError(helper_usage("umount.ploop"));
    }
    HelperCall call;
    call.folder = read.operands.front();
    call.quiet = !read.verbose;
    // umount(8) may name the device instead.
    call.words = {"umount", call.folder.starts_with("/dev/") ? "-d" : "-m", call.folder};
    return call;
}

} // namespace disktool::ploop::cli
