// SPDX-License-Identifier: LGPL-2.1-or-later
// The ways to show a job's progress.
#pragma once

#include <disktool/progress.h>

#include <chrono>
#include <memory>
#include <string>

namespace disktool::cli {

struct ProgressChoice {
    bool quiet = false;
    bool verbose = false;
    int json_descriptor = -1; ///< --progress=FD; -1: none
};

/// A bar where standard error is a terminal, `Operation progress N %` lines where it is not and `verbose` is
/// on, JSON lines on the descriptor; SIGUSR1 prints the state whatever was chosen. Honours NO_COLOR and
/// TERM=dumb.
class ProgressDisplay : public ProgressSink {
  public:
    explicit ProgressDisplay(const ProgressChoice& choice);

    void update(const State& state) override;
    void finished(bool success) override;

  private:
    using Clock = std::chrono::steady_clock;
    struct Figures {
        int percent = 0;
        double bytes_per_second = 0;
        std::chrono::seconds left{};
    };
    Figures figures(const State& state, Clock::time_point now) const;
    void draw_bar(const State& state, const Figures& figures) const;
    void print_line(const State& state, const Figures& figures) const;
    void print_json(const State& state, const Figures& figures) const;

    ProgressChoice choice_;
    bool terminal_ = false;
    bool colour_ = false;
    bool bar_drawn_ = false;
    int last_percent_ = -1;
    Clock::time_point start_;
    Clock::time_point last_drawn_;
};

} // namespace disktool::cli
