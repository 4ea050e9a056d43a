// SPDX-License-Identifier: LGPL-2.1-or-later
#include <disktool/error.h>
#include <disktool/plan.h>
#include <disktool/progress.h>

#include <algorithm>
#include <stdexcept>

namespace disktool {

void CancelToken::check() const {
    if (cancelled())
        throw Error(ErrorCode::interrupted, "Interrupted before the work was done");
}

ProgressSink::~ProgressSink() = default;
StepContext::~StepContext() = default;
Workbench::~Workbench() = default;
Step::~Step() = default;

void Step::undo(StepContext&) {
    if (needs_no_undo().empty())
        throw std::logic_error("step " + kind() + " claims to be undone by undo(), but has none");
}

Cost& Cost::operator+=(const Cost& other) {
    read += other.read;
    written += other.written;
    discarded += other.discarded;
    // Steps run one after the other, each with the space that the one before has given back.
    space = std::max(space, other.space);
    return *this;
}

Cost Plan::cost() const {
    Cost sum;
    for (const auto& step : steps_)
        sum += step->cost();
    return sum;
}

} // namespace disktool
