// SPDX-License-Identifier: LGPL-2.1-or-later
// What every verb of the command line shares: the open image, the engine, what is printed where.
#pragma once

#include "arguments.h"
#include "config/config.h"
#include "image/session.h"
#include "plan/job.h"
#include "verb/info_json.h"
#include "verb/verb_context.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace disktool::cli {

/// One run of the program. Refers to what main owns.
class Run {
  public:
    Run(const Arguments& arguments, const Config& config, Registry& registry, CancelToken& cancel);
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    const Arguments& arguments() const { return arguments_; }
    Registry& registry() { return registry_; }

    /// Opens and locks the image; tells of a running VM. Call once.
    Session& open(Access access, bool whole_chain = false);
    /// The image is let go, with its locks.
    void close() { session_.reset(); }
    VerbContext context();
    CancelToken& cancel() { return cancel_; }
    /// For other users of the disk: none: not at all; zero: for ever.
    std::optional<std::chrono::seconds> patience() const;
    /// Before a modifying verb: finishes what an interrupted job left. Before an info verb: only tells of it.
    void recover(bool act);
    JobReport carry_out(Plan& plan);
    /// Plan and, unless it is a dry run, its execution, into the JSON; true when it was carried out. `report`
    /// gets what came of it.
    bool act(Plan& plan, JobReport& report);

    /// A sentence for people on standard error, and in "warnings" of the JSON.
    void warn(const std::string& sentence);
    /// One that has been printed already: for the JSON alone.
    void warned(const std::string& sentence) { warnings_.push_back(sentence); }
    /// A line of the result: standard output, unless --json or --quiet.
    void say(const std::string& line) const;
    /// The JSON document under way; printed by finish().
    Json& json() { return json_; }
    void finish();

  private:
    std::unique_ptr<Appliance> make_appliance() const;

    const Arguments& arguments_;
    const Config& config_;
    Registry& registry_;
    CancelToken& cancel_;
    std::unique_ptr<Session> session_;
    Json json_ = Json::object();
    Json warnings_ = Json::array();
};

// The verbs, one file each.
void run_resize(Run& run);
void run_resize_info(Run& run);
void run_compact(Run& run);
void run_compact_info(Run& run);
void run_merge(Run& run);
void run_convert(Run& run);
void run_convert_info(Run& run);
void run_recover(Run& run);
void run_info(Run& run);
void run_map(Run& run);
void run_mount(Run& run);
void run_umount(Run& run);
void run_list_plugins(Run& run);
void run_dump_plugin(Run& run);

/// What a reader of figures must know of them: damage, dirt, what is left out. In the original's words where it
/// has some.
void warn_of(Run& run, const ImageInfo& image, const DiskSurvey& survey);

/// The figures of both --info verbs for people, unless --json.
void say_resize_info(const Run& run, const ResizeInfo& info);
void say_compact_info(const Run& run, const CompactInfo& info);

/// Prints the plan instead of carrying it out: the only difference that --dry-run makes.
void print_plan(Run& run, const Plan& plan);

} // namespace disktool::cli
