// SPDX-License-Identifier: GPL-2.0-or-later
// A context and a workbench for steps, on one plain file as the only partition: programs are run directly.
#pragma once

#include "support/file_device.h"

#include <disktool/doors.h>
#include <disktool/error.h>
#include <disktool/plan.h>
#include <disktool/workbench.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace disktool::ntfs::test {

class FakeBench : public Workbench {
  public:
    explicit FakeBench(const std::string& path) : path_(path), window_(path, Access::write) {}

    WorkingDisk& disk() override { throw std::logic_error("no disk"); }
    BlockDevice& window(int) override { return window_; }
    std::string path(int) override { return path_; }
    CommandResult run(const Tool& tool, const Command& command) override {
        tools.push_back(tool.name);
        commands.push_back(command);
        return real_doors().processes.run(command);
    }
    Appliance& appliance() override { throw std::logic_error("no appliance"); }

    std::vector<std::string> tools;
    std::vector<Command> commands;

  private:
    std::string path_;
    disktool::test::FileDevice window_;
};

class FakeContext : public StepContext {
  public:
    explicit FakeContext(const std::string& path) : bench(path) {}

    Doors doors() override { return real_doors(); }
    CancelToken& cancel() override { return cancel_; }
    void advance(std::uint64_t bytes) override { advanced += bytes; }
    void report(const std::string&, std::uint64_t) override {}
    void warn(const std::string& sentence) override { warnings.push_back(sentence); }
    void lend_image_to_child() override {}
    void take_image_back() override {}
    Appliance& appliance() override { throw std::logic_error("no appliance"); }
    Workbench& workbench() override { return bench; }
    void commit_work(const WorkCommit&) override { throw std::logic_error("nothing to commit"); }

    FakeBench bench;
    std::vector<std::string> warnings;
    std::uint64_t advanced = 0;

  private:
    CancelToken cancel_;
};

} // namespace disktool::ntfs::test
