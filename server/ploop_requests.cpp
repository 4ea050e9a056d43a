// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ploop_requests.h"

#include "ploop_error.h"

#include <disktool/log.h>

#include <fmt/format.h>

#include <algorithm>
#include <climits>
#include <functional>
#include <optional>
#include <utility>

namespace disktool::server {

namespace {

using ploop::Exit;
using ploop::PloopError;
using ploop::Uuid;

constexpr std::size_t ranges_in_a_part = 1000;

std::optional<Uuid> uuid_in(const ControlRequest& request, const char* name) {
    const std::string text = request.text(name, "");
    if (text.empty()) {
        return std::nullopt;
    }
    if (auto uuid = Uuid::parse(text)) {
        return uuid;
    }
    throw PloopError(Exit::invalid_parameter, ErrorCode::usage, fmt::format("\"{}\" is no uuid", text));
}

bool is_plan(const ControlRequest& request) {
    return request.text("request", "") == "plan";
}

/// What a verb tells while it works, and hears. One who goes away has the verb go on, one who changes his mind
/// does not.
class Watching {
  public:
    /// `for_asker`: it stops as well when he has gone, wherever it is.
    explicit Watching(ControlRequest& request, bool for_asker = false)
        : request_(request), for_asker_(for_asker) {}

    ploop::RunningDisk::Watch watch() {
        return {.progress = [this](std::uint64_t done, std::uint64_t total) { advanced(done, total); },
                .cancel = &cancel_,
                .plan_only = is_plan(request_)};
    }
    void check() const { cancel_.check(); }
    ControlMessage answer() const {
        return is_plan(request_) ? ControlMessage{{"bytes", total_}} : ControlMessage::object();
    }

  private:
    void advanced(std::uint64_t done, std::uint64_t total) {
        total_ = total;
        if (is_plan(request_)) {
            return;
        }
        request_.progress(done, total);
        if (request_.cancelled() || (for_asker_ && request_.abandoned())) {
            cancel_.cancel();
        }
    }

    ControlRequest& request_;
    const bool for_asker_;
    CancelToken cancel_;
    std::uint64_t total_ = 0; ///< bytes of work
};

/// The verbs of one disk, as functions for its control socket.
class PloopRequests {
  public:
    PloopRequests(ploop::RunningDisk& disk, RunningDevice& device, std::mutex& verbs)
        : disk_(disk), device_(device), verbs_(verbs), raw_base_(disk.device().deltas().front()->raw()) {}

    std::map<std::string, DeviceRequest> all() const {
        const auto on_image = [&](auto verb) {
            return DeviceRequest{
                [self = *this, verb](ControlRequest& request) { return self.change(request, verb); }};
        };
        return {
            {"status", {[self = *this](ControlRequest&) { return self.status(); }, true}},
            {"snapshot", on_image(&PloopRequests::snapshot)},
            {"merge", on_image(&PloopRequests::merge)},
            {"delete", on_image(&PloopRequests::remove)},
            {"replace", on_image(&PloopRequests::replace)},
            {"compact", on_image(&PloopRequests::compact)},
            {"plan", on_image(&PloopRequests::plan)},
            {"track_start", on_image(&PloopRequests::track_start)},
            {"track_next", on_image(&PloopRequests::track_next)},
            {"track_stop", on_image(&PloopRequests::track_stop)},
            {"grow", {[self = *this](ControlRequest& request) { return self.grow(request); }}},
        };
    }

  private:
    using Verb = ControlMessage (PloopRequests::*)(ControlRequest&) const;

    /// A verb that changes the image's clusters, or looks at who does. Without us between the guest and its
    /// image there are none.
    ControlMessage change(ControlRequest& request, Verb verb) const {
        const std::scoped_lock lock(verbs_);
        if (!device_.serves() && !disk_.read_only()) {
            refuse_without_server(verb);
        }
        try {
            ControlMessage answer = (this->*verb)(request);
            device_.describe_anew();
            return answer;
        } catch (...) {
            device_.describe_anew(); // it may have failed after the images had changed
            throw;
        }
    }

    [[noreturn]] void refuse_without_server(Verb verb) const {
        const bool looks = verb == &PloopRequests::track_start || verb == &PloopRequests::track_next;
        throw PloopError(
            Exit::no_memory_or_failure, ErrorCode::unsupported,
            fmt::format("{} shows its image by a loop device alone, so {}. Unmount it, and {}mount "
                        "it with --backend fuse",
                        device_.state().node,
                        looks ? "nobody sees what is written to it meanwhile"
                              : "the image cannot be changed beside it",
                        looks ? "" : "do this to the disk at rest, or "),
            Reason::capability_missing);
    }

    ControlMessage status() const {
        ControlMessage status = device_.status();
        status["cluster"] = disk_.cluster_sectors();
        status["raw_base"] = raw_base_;
        const std::unique_lock lock(verbs_, std::try_to_lock);
        status["busy"] = !lock.owns_lock();
        if (lock) {
            status["free_clusters"] = disk_.free_clusters();
        }
        return status;
    }

    ControlMessage snapshot(ControlRequest& request) const {
        ploop::RunningDisk::RunningSnapshot wanted;
        wanted.request.uuid = uuid_in(request, "uuid");
        if (request.arguments().contains("bitmap")) {
            wanted.request.bitmap = request.text("bitmap");
        }
        wanted.temporary = request.flag("temporary");
        wanted.new_file = request.text("new_file", "");
        wanted.plan_only = is_plan(request);
        // Whatever happens in between, the file systems are thawed in the end.
        bool frozen = false;
        const ploop::Freezer freezer{[&] {
                                         device_.freeze();
                                         frozen = true;
                                     },
                                     [&] {
                                         if (std::exchange(frozen, false)) {
                                             device_.thaw();
                                         }
                                     },
                                     device_.state().node};
        struct AtEnd {
            const std::function<void()>& action;
            ~AtEnd() { action(); }
        } const at_end{freezer.thaw};
        const auto done = disk_.snapshot(wanted, freezer, say(request));
        return {{"uuid", done.uuid.is_none() ? "" : done.uuid.text()},
                {"file", done.file},
                {"stalled_us", done.stalled_us}};
    }

    ControlMessage merge(ControlRequest& request) const {
        ploop::MergeRequest wanted;
        wanted.uuid = uuid_in(request, "uuid");
        wanted.range_end = uuid_in(request, "range_end");
        wanted.all = request.flag("all");
        wanted.new_file = request.text("new_file", "");
        Watching watching(request);
        disk_.merge(wanted, say(request), watching.watch());
        return watching.answer();
    }

    ControlMessage remove(ControlRequest& request) const {
        const std::optional<Uuid> uuid = uuid_in(request, "uuid");
        if (!uuid) {
            throw PloopError(Exit::invalid_parameter, ErrorCode::usage, "The uuid of a snapshot is needed");
        }
        Watching watching(request);
        disk_.remove_snapshot(*uuid, say(request), watching.watch());
        return watching.answer();
    }

    ControlMessage replace(ControlRequest& request) const {
        ploop::RunningDisk::RunningReplace wanted;
        wanted.request.uuid = uuid_in(request, "uuid");
        wanted.request.current_file = request.text("current_file", "");
        if (request.arguments().contains("level")) {
            wanted.level = request.number("level");
        }
        wanted.request.new_file = request.text("new_file");
        wanted.request.keep_name = request.flag("keep_name");
        Watching watching(request);
        disk_.replace(wanted, say(request), watching.watch());
        return watching.answer();
    }

    ControlMessage compact(ControlRequest& request) const {
        Watching watching(request, true);
        const auto done = disk_.compact(watching.watch());
        watching.check();
        return {{"bytes_cut", done.bytes_cut}, {"clusters_moved", done.clusters_moved}};
    }

    /// Refuses what the verb would refuse, and tells how much work it is.
    ControlMessage plan(ControlRequest& request) const {
        static const std::map<std::string, Verb> verbs{{"snapshot", &PloopRequests::snapshot},
                                                       {"merge", &PloopRequests::merge},
                                                       {"delete", &PloopRequests::remove},
                                                       {"replace", &PloopRequests::replace}};
        const auto verb = verbs.find(request.text("verb"));
        if (verb == verbs.end()) {
            throw PloopError(Exit::invalid_parameter, ErrorCode::usage,
                             fmt::format("\"{}\" is nothing that can be planned", request.text("verb")));
        }
        return (this->*verb->second)(request);
    }

    ControlMessage grow(ControlRequest& request) const {
        const std::scoped_lock lock(verbs_);
        device_.require_growable();
        disk_.grow(request.number("sectors"), say(request));
        return {{"size", device_.follow_size()}};
    }

    ControlMessage track_start(ControlRequest& request) const {
        // The tracker is for one who copies; when he has gone, nobody would ever end it.
        const auto stop = [self = *this] {
            try {
                const std::scoped_lock verbs(self.verbs_);
                self.disk_.track_stop();
            } catch (const std::exception& error) {
                log(LogLevel::warning, fmt::format("The tracker cannot be stopped: {}", error.what()));
            }
        };
        const ploop::TrackedRanges ranges = disk_.track_start();
        request.when_gone("track", stop);
        return send_ranges(request, ranges);
    }

    ControlMessage track_next(ControlRequest& request) const {
        return send_ranges(request, disk_.track_next());
    }

    ControlMessage track_stop(ControlRequest& request) const {
        request.when_gone("track", {});
        disk_.track_stop();
        return ControlMessage::object();
    }

    ControlMessage send_ranges(ControlRequest& request, const ploop::TrackedRanges& tracked) const {
        for (std::size_t at = 0; at < tracked.ranges.size(); at += ranges_in_a_part) {
            ControlMessage part = ControlMessage::array();
            for (std::size_t i = at; i < std::min(at + ranges_in_a_part, tracked.ranges.size()); ++i) {
                part.push_back({tracked.ranges[i].offset, tracked.ranges[i].length});
            }
            request.part({{"ranges", std::move(part)}});
        }
        return {{"ranges", ControlMessage::array()},
                {"file", disk_.images().back()},
                {"file_size", tracked.file_size}};
    }

    static ploop::Say say(ControlRequest& request) {
        return [&request](const std::string& line) { request.say(line); };
    }

    ploop::RunningDisk& disk_;
    RunningDevice& device_;
    std::mutex& verbs_;
    bool raw_base_; ///< the base stays what it is while the disk runs
};

} // namespace

std::map<std::string, DeviceRequest> ploop_requests(ploop::RunningDisk& disk, RunningDevice& device,
                                                    std::mutex& verbs) {
    return PloopRequests(disk, device, verbs).all();
}

} // namespace disktool::server
