// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk_look.h"

#include "text_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace disktool::cli {

namespace {

/// Does the error speak of the disk's content, so that the image's own figures still stand?
bool is_of_content(const Error& error) {
    constexpr std::array reasons = {Reason::encrypted, Reason::table_damaged, Reason::table_not_supported,
                                    Reason::partitions_overlap, Reason::partition_beyond_end};
    return std::find(reasons.begin(), reasons.end(), error.reason()) != reasons.end();
}

} // namespace

DiskLook look_at_disk(Session& session, SurveyOptions options) {
    DiskLook look;
    look.survey.engine = "native";
    try {
        look.survey = survey_disk(session.image().device(), session.registry(), options);
    } catch (const Error& error) {
        if (!is_of_content(error)) {
            throw;
        }
        look.problem = Problem{error.code(), error.reason(), error.what()};
    }
    return look;
}

bool look_for_job(Run& run) {
    try {
        run.recover(false);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::recovery) {
            throw;
        }
        run.json()["interrupted_job"] = error.what();
        run.warn(error.what());
    }
    return run.json().contains("interrupted_job");
}

std::vector<std::string> troubles(const ImageInfo& image, const DiskLook& look) {
    std::vector<std::string> sentences;
    const auto add = [&](const std::string& sentence) { sentences.push_back(printable(sentence)); };
    if (image.corrupt) {
        add(fmt::format("{} is marked corrupt: the figures cannot be relied on; see what qemu-img check finds",
                        image.path));
    }
    if (image.dirty) {
        add(fmt::format("{} is marked dirty: it was not closed in order, so its reference counts may be off; "
                        "qemu-img check -r all mends them",
                        image.path));
    }
    if (look.problem) {
        add(look.problem->sentence);
    } else if (look.survey.blank()) {
        add("No partitions found");
    }
    for (const std::string& warning : look.survey.table.warnings) {
        add(warning);
    }
    look.survey.each([&](const Content& content) {
        if (content.problem) {
            add(content.problem->sentence);
        } else if (!content.state.clean()) {
            add(fmt::format("{}: {}", content.text(), content.state.sentence));
        }
    });
    return sentences;
}

void say_troubles(Run& run, const std::vector<std::string>& sentences) {
    if (!sentences.empty()) {
        run.say("\nTo know");
    }
    for (const std::string& sentence : sentences) {
        if (run.arguments().json) {
            run.warn(sentence);
        } else {
            run.say("  " + sentence);
        }
    }
}

} // namespace disktool::cli
