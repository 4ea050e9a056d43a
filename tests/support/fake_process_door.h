// SPDX-License-Identifier: LGPL-2.1-or-later
// A process door that answers from a table, so that a test says what other programs do: fail, be missing, be
// slow.
#pragma once

#include <disktool/doors.h>

#include <functional>
#include <string>
#include <vector>

namespace disktool::test {

/// Threads: one at a time.
class FakeProcessDoor : public ProcessDoor {
  public:
    enum class Unmatched {
        fail,    ///< a command without an answer fails the test
        pass_on, ///< it is really run
    };
    using Answer = std::function<CommandResult(const Command&)>; ///< may throw

    explicit FakeProcessDoor(Unmatched unmatched = Unmatched::fail, ProcessDoor& real = real_doors().processes)
        : unmatched_(unmatched), real_(real) {}

    /// For commands whose first arguments are these. The answer that was added last counts.
    void answer(std::vector<std::string> first_arguments, CommandResult result);
    void answer(std::vector<std::string> first_arguments, Answer answer);
    /// As if the program were not installed.
    void miss(const std::string& program);

    const std::vector<Command>& asked() const { return asked_; }

    CommandResult run(const Command& command) override;
    /// An answered command has ended at once.
    std::unique_ptr<Process> start(const Command& command) override;

  private:
    struct Entry {
        std::vector<std::string> first_arguments;
        Answer answer;
    };
    /// Null: pass it on.
    const Answer* find(const Command& command) const;

    Unmatched unmatched_;
    ProcessDoor& real_;
    std::vector<Entry> entries_;
    std::vector<Command> asked_;
};

} // namespace disktool::test
