// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/progress_display.h"

#include "common/signals.h"

#include <disktool/size.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace disktool::cli {

namespace {

constexpr std::chrono::milliseconds redraw_interval{100};

bool is_set(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0';
}

std::size_t terminal_width() {
    winsize size{};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string duration_text(std::chrono::seconds duration) {
    auto seconds = duration.count();
    return seconds >= 3600 ? fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
                           : fmt::format("{}:{:02}", seconds / 60, seconds % 60);
}

/// Progress is a courtesy: a reader that is gone, or a full pipe, does not stop the job.
void write_all(int descriptor, std::string_view text) {
    while (!text.empty()) {
        ssize_t written = ::write(descriptor, text.data(), text.size());
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return;
        }
        text.remove_prefix(static_cast<std::size_t>(written));
    }
}

} // namespace

ProgressDisplay::ProgressDisplay(const ProgressChoice& choice)
    : choice_(choice), start_(Clock::now()), last_drawn_(start_ - redraw_interval) {
    const char* term = std::getenv("TERM");
    terminal_ = isatty(STDERR_FILENO) == 1 && !(term != nullptr && std::string_view(term) == "dumb");
    colour_ = terminal_ && !is_set("NO_COLOR");
}

ProgressDisplay::Figures ProgressDisplay::figures(const State& state, Clock::time_point now) const {
    Figures result;
    std::uint64_t done = std::min(state.done, state.total);
    result.percent =
        state.total == 0
            ? 0
            : static_cast<int>(100.0 * static_cast<double>(done) / static_cast<double>(state.total));
    double seconds = std::chrono::duration<double>(now - start_).count();
    if (seconds > 0 && done > 0) {
        result.bytes_per_second = static_cast<double>(done) / seconds;
        result.left = std::chrono::seconds(
            static_cast<std::int64_t>(static_cast<double>(state.total - done) / result.bytes_per_second));
    }
    return result;
}

void ProgressDisplay::update(const State& state) {
    Clock::time_point now = Clock::now();
    Figures current = figures(state, now);
    if (take_state_request()) {
        print_line(state, current);
    }
    bool new_percent = current.percent != last_percent_;
    bool due = now - last_drawn_ >= redraw_interval;
    if (choice_.json_descriptor >= 0 && (new_percent || due)) {
        print_json(state, current);
    }
    if (!choice_.quiet && terminal_ && due) {
        draw_bar(state, current);
        bar_drawn_ = true;
    } else if (!choice_.quiet && !terminal_ && choice_.verbose && new_percent) {
        write_all(STDERR_FILENO, fmt::format("Operation progress {} %\n", current.percent));
    }
    if (due) {
        last_drawn_ = now;
    }
    last_percent_ = current.percent;
}

void ProgressDisplay::draw_bar(const State& state, const Figures& current) const {
    std::string tail =
        fmt::format(" {:3} %  {:.0f} MB/s  {} left", current.percent,
                    current.bytes_per_second / static_cast<double>(MiB), duration_text(current.left));
    std::size_t width = terminal_width();
    std::size_t text_width = std::min<std::size_t>(state.step.size(), width / 2);
    std::size_t bar_width = width > text_width + tail.size() + 5
                                ? std::min<std::size_t>(width - text_width - tail.size() - 5, 40)
                                : 0;
    std::size_t filled = bar_width * static_cast<std::size_t>(current.percent) / 100;
    std::string bar(filled, '=');
    bar.resize(bar_width, ' ');
    write_all(STDERR_FILENO, fmt::format("\r\x1b[K{} [{}{}{}]{}", state.step.substr(0, text_width),
                                         colour_ ? "\x1b[32m" : "", bar, colour_ ? "\x1b[0m" : "", tail));
}

void ProgressDisplay::print_line(const State& state, const Figures& current) const {
    write_all(STDERR_FILENO,
              fmt::format("{}{}: {} of {} ({} %), {:.0f} MB/s, {} left\n", bar_drawn_ ? "\r\x1b[K" : "",
                          state.step, size_text(state.done), size_text(state.total), current.percent,
                          current.bytes_per_second / static_cast<double>(MiB), duration_text(current.left)));
}

void ProgressDisplay::print_json(const State& state, const Figures& current) const {
    nlohmann::ordered_json line = {{"step", state.step},
                                   {"index", state.index},
                                   {"steps", state.steps},
                                   {"done", state.done},
                                   {"total", state.total},
                                   {"percent", current.percent},
                                   {"bytes_per_second", static_cast<std::uint64_t>(current.bytes_per_second)},
                                   {"seconds_left", current.left.count()}};
    write_all(choice_.json_descriptor, line.dump() + "\n");
}

void ProgressDisplay::finished(bool success) {
    if (bar_drawn_) {
        write_all(STDERR_FILENO, "\r\x1b[K");
        bar_drawn_ = false;
    }
    if (choice_.json_descriptor >= 0) {
        write_all(choice_.json_descriptor, nlohmann::ordered_json{{"finished", success}}.dump() + "\n");
    }
    if (success && !choice_.quiet && !terminal_ && choice_.verbose && last_percent_ >= 0 &&
        last_percent_ != 100) {
        write_all(STDERR_FILENO, "Operation progress 100 %\n");
    }
}

} // namespace disktool::cli
