// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/fake_process_door.h"

#include <disktool/error.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace disktool::test {

namespace {

class EndedProcess : public Process {
  public:
    explicit EndedProcess(CommandResult result) : result_(std::move(result)) {}
    int pid() const override { return -1; }
    bool running() override { return false; }
    std::optional<CommandResult> wait(std::chrono::milliseconds) override { return result_; }
    void terminate() override {}

  private:
    CommandResult result_;
};

} // namespace

void FakeProcessDoor::answer(std::vector<std::string> first_arguments, CommandResult result) {
    answer(std::move(first_arguments), [result = std::move(result)](const Command&) { return result; });
}

void FakeProcessDoor::answer(std::vector<std::string> first_arguments, Answer answer) {
    entries_.push_back({std::move(first_arguments), std::move(answer)});
}

void FakeProcessDoor::miss(const std::string& program) {
    answer({program}, [program](const Command&) -> CommandResult {
        throw Error(ErrorCode::program_missing, program + " is not installed", Reason::program_missing);
    });
}

CommandResult FakeProcessDoor::run(const Command& command) {
    asked_.push_back(command);
    const Answer* const answer = find(command);
    return answer ? (*answer)(command) : real_.run(command);
}

std::unique_ptr<Process> FakeProcessDoor::start(const Command& command) {
    asked_.push_back(command);
    const Answer* const answer = find(command);
    return answer ? std::make_unique<EndedProcess>((*answer)(command)) : real_.start(command);
}

const FakeProcessDoor::Answer* FakeProcessDoor::find(const Command& command) const {
    for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
        const auto& wanted = entry->first_arguments;
        if (wanted.size() <= command.arguments.size() &&
            std::equal(wanted.begin(), wanted.end(), command.arguments.begin()))
            return &entry->answer;
    }
    if (unmatched_ == Unmatched::pass_on)
        return nullptr;
    ADD_FAILURE() << "FakeProcessDoor has no answer for: " << command.text();
    throw std::logic_error("FakeProcessDoor has no answer for: " + command.text());
}

} // namespace disktool::test
