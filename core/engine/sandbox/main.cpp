// SPDX-License-Identifier: LGPL-2.1-or-later
// The helper that stands between disktool and a program of the host that reads hostile file systems. Started by
// disktool, directly or through bubblewrap; of no use by hand.
#include "confinement.h"
#include "isolation.h"
#include "keeper.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

namespace disktool::sandbox {

namespace {

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> result;
    result.reserve(texts.size() + 1);
    for (std::string& text : texts)
        result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

int run(Request& request) {
    const Report report(request.report);
    fcntl(request.report, F_SETFD, FD_CLOEXEC);
    report.entered();
    if (request.isolate) {
        keep_group();
        isolate(request, report);
    }
    if (chdir("/") != 0)
        report.missing("a folder of its own");
    confine(request, report);
    // Nothing of the caller's environment: it may hold secrets, or settings that turn the program.
    std::vector<std::string> environment{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/tmp",
                                         "TMPDIR=/tmp"};
    environment.insert(environment.end(), request.variables.begin(), request.variables.end());
    const std::vector<char*> arguments = pointers(request.command);
    const std::vector<char*> variables = pointers(environment);
    filter_system_calls(report);
    execve(arguments[0], arguments.data(), variables.data());
    report.failed(std::strerror(errno));
    return 127;
}

} // namespace

void Report::missing(const std::string& what) const {
    line("missing " + what + ": " + std::strerror(errno));
}

void Report::line(const std::string& text) const {
    const std::string whole = text + "\n";
    if (write(descriptor_, whole.data(), whole.size()) < 0) {
        // Nobody else could be told; the program goes on all the same.
    }
}

} // namespace disktool::sandbox

int main(int count, char** words) {
    if (count > 2 && words[1] == std::string_view("--keep")) { // PROGRAM WORD...: what comes back to us
        disktool::sandbox::keep_group();
        execv(words[2], words + 2);
        std::perror(words[2]);
        return 127;
    }
    auto request = disktool::sandbox::parse(count, words);
    if (!request)
        return 127;
    return disktool::sandbox::run(*request);
}
