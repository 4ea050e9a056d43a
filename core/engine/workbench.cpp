// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/workbench.h"

#include "engine/fuse_view.h"
#include "engine/host_program.h"
#include "engine/sandbox.h"
#include "engine/shared_disk.h"

#include <disktool/devices.h>
#include <disktool/error.h>
#include <disktool/log.h>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <stdexcept>
#include <utility>

namespace disktool {

namespace {

/// For a file of the view to be closed, once all that we have started has ended: a little for the kernel to
/// take down a sandbox, much for QEMU of a machine with a slow disk.
constexpr std::chrono::seconds patience{30};

std::string file_name(int partition) {
    return partition == 0 ? "disk" : fmt::format("p{}", partition);
}

class JobWorkbench final : public OwnWorkbench {
  public:
    JobWorkbench(Doors doors, Image& image, const WorkSpec& spec, CancelToken* cancel,
                 std::function<std::unique_ptr<Appliance>()> make)
        : doors_(doors), cluster_size_(image.info().cluster_size), cancel_(cancel),
          make_appliance_(std::move(make)), sandbox_(doors.processes),
          disk_(std::make_unique<SharedDisk>(image.begin_work(spec.size))) {
        add_window(0, {0, disk_->size()});
        for (const WorkWindow& window : spec.windows)
            add_window(window.partition, window.range);
    }

    ~JobWorkbench() override { abandon(); }

    WorkingDisk& disk() override {
        end_appliance();
        return working_disk();
    }

    BlockDevice& window(int partition) override {
        end_appliance();
        return window_of(partition);
    }

    std::string path(int partition) override {
        end_appliance();
        return view_path(partition);
    }

    CommandResult run(const Tool& tool, const Command& command) override {
        end_appliance();
        const HostProgram program = require_program(doors_, tool.name, tool.version, tool.package, "");
        Command confined = command;
        confined.arguments.at(0) = program.path;
        if (confined.cancel == nullptr)
            confined.cancel = cancel_;
        // A program that writes on into a cache does not learn that its writes fail.
        confined.futile = [this] { return view_ && view_->first_error(); };
        CommandResult result = sandbox_.run(confined, files_in(command));
        check_view();
        return result;
    }

    Appliance& appliance() override {
        if (running_)
            return *appliance_;
        working_disk();
        if (!make_appliance_)
            throw Error(ErrorCode::program_missing, "this step needs the appliance, and this run has none",
                        Reason::appliance_unavailable);
        appliance_ = make_appliance_();
        appliance_->launch({.path = view_path(0), .format = "raw", .read_only = false}, cancel_);
        running_ = true;
        return *appliance_;
    }

    void commit(const WorkCommit& request) override {
        end_appliance();
        if (view_) {
            view_->unmount(patience);
            check_view();
            view_.reset();
        }
        working_disk().commit(request);
        windows_.clear();
        disk_.reset();
    }

    void abandon() noexcept override {
        try {
            end_appliance();
        } catch (const std::exception& error) {
            log(LogLevel::info, fmt::format("the appliance did not end well: {}", error.what()));
        }
        appliance_.reset();
        view_.reset(); // cuts off whoever still has a file open
        windows_.clear();
        disk_.reset();
    }

  private:
    void add_window(int partition, Range range) {
        const std::string name =
            partition == 0 ? disk_->name() : fmt::format("{} partition {}", disk_->name(), partition);
        windows_.try_emplace(partition, *disk_, range, name);
    }

    WorkingDisk& working_disk() {
        if (!disk_)
            throw std::logic_error("the workbench is used after its end");
        return *disk_;
    }

    Window& window_of(int partition) {
        working_disk();
        const auto found = windows_.find(partition);
        if (found == windows_.end())
            throw std::logic_error(fmt::format("the workbench has no window on partition {}", partition));
        return found->second;
    }

    std::string view_path(int partition) {
        window_of(partition);
        if (!view_)
            view_ = make_view();
        return view_->path(file_name(partition));
    }

    /// Partitions are for one program of the host after the other, which reads in small pieces; the disk is for
    /// QEMU, which has a cache of its own.
    std::unique_ptr<FuseView> make_view() {
        std::vector<ViewFile> files;
        for (const auto& [partition, window] : windows_)
            files.push_back({file_name(partition), window.part(), partition != 0});
        return mount_view(*disk_, std::move(files),
                          {.owner = Sandbox::user(),
                           .group = Sandbox::group(),
                           .allow_other = geteuid() == 0,
                           .discard_unit = cluster_size_},
                          doors_.processes);
    }

    /// The files of the view that the command names, also within a word ("PATH?offset=1048576").
    std::vector<std::string> files_in(const Command& command) {
        std::vector<std::string> files;
        if (!view_)
            return files;
        for (const auto& [partition, window] : windows_) {
            const std::string file = view_->path(file_name(partition));
            const auto names = [&](const std::string& word) {
                const std::size_t at = word.find(file);
                // p1 is not p12
                return at != std::string::npos &&
                       (at + file.size() == word.size() ||
                        !std::isdigit(static_cast<unsigned char>(word[at + file.size()])));
            };
            if (std::any_of(command.arguments.begin(), command.arguments.end(), names))
                files.push_back(file);
        }
        return files;
    }

    /// A machine that runs knows nothing of what others write to its disk, and may not have written all of its
    /// own: whoever turns to the disk on another way ends it first.
    void end_appliance() {
        if (std::exchange(running_, false))
            appliance_->shut_down();
    }

    void check_view() const {
        if (!view_)
            return;
        if (const auto error = view_->first_error())
            throw Error(*error);
    }

    Doors doors_;
    const std::uint64_t cluster_size_;
    CancelToken* const cancel_;
    const std::function<std::unique_ptr<Appliance>()> make_appliance_;
    Sandbox sandbox_;
    // In the order of their making, since each refers to those before.
    std::unique_ptr<SharedDisk> disk_;
    std::map<int, Window> windows_;
    std::unique_ptr<FuseView> view_;
    std::unique_ptr<Appliance> appliance_;
    bool running_ = false;
};

} // namespace

OwnWorkbench::~OwnWorkbench() = default;

std::unique_ptr<OwnWorkbench> make_workbench(Doors doors, Image& image, const WorkSpec& spec,
                                             CancelToken* cancel,
                                             std::function<std::unique_ptr<Appliance>()> make_appliance) {
    return std::make_unique<JobWorkbench>(doors, image, spec, cancel, std::move(make_appliance));
}

} // namespace disktool
