// SPDX-License-Identifier: LGPL-2.1-or-later
// info: the image, its chain, the table and what lies in each partition, on one page.
#include "command.h"
#include "disk_look.h"
#include "text_table.h"

#include <disktool/size.h>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <optional>

namespace disktool::cli {

namespace {

using Align = TextTable::Align;

void say_table(const Run& run, const TextTable& table) {
    for (const std::string& line : table.lines("  ")) {
        run.say(line);
    }
}

void say_field(const Run& run, const char* label, const std::string& value) {
    run.say(fmt::format("  {:<18}{}", label, printable(value)));
}

std::string date_text(std::int64_t seconds) {
    const auto time = static_cast<std::time_t>(seconds);
    std::tm parts{};
    return gmtime_r(&time, &parts) != nullptr ? fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", parts)
                                              : std::to_string(seconds);
}

std::string value_text(const DetailValue& value) {
    if (const bool* flag = std::get_if<bool>(&value)) {
        return *flag ? "yes" : "no";
    }
    if (const auto* amount = std::get_if<std::uint64_t>(&value)) {
        return std::to_string(*amount);
    }
    return std::get<std::string>(value);
}

/// None where the image's own tables do not let one tell.
std::optional<std::string> allocation_text(Image& image) {
    if (image.info().encrypted) {
        return std::nullopt;
    }
    try {
        return image.allocation() == Allocation::plain ? "plain" : "expanding";
    } catch (const Error&) {
        return std::nullopt;
    }
}

std::string state_text(const ImageInfo& info) {
    std::string text;
    for (auto [set, word] :
         {std::pair{info.dirty, "dirty"}, {info.corrupt, "corrupt"}, {info.encrypted, "encrypted"}}) {
        if (set) {
            text += (text.empty() ? "" : ", ") + std::string(word);
        }
    }
    return text.empty() ? "in order" : text;
}

void say_image(Run& run, Session& session, const std::optional<std::string>& allocation, bool job_found) {
    const ImageInfo& info = session.image().info();
    run.say("Image");
    say_field(run, "Path:", info.path);
    say_field(run, "Format:", info.format);
    say_field(run, "Virtual size:", exact_size_text(info.virtual_size));
    say_field(
        run, "On the host:",
        fmt::format("{}; the file is {} long", exact_size_text(info.allocated), size_text(info.file_size)));
    say_field(run, "Cluster size:", size_text(info.cluster_size));
    if (allocation) {
        say_field(run, "Allocation:", *allocation);
    }
    say_field(run, "State:", state_text(info));
    if (!info.data_file.empty()) {
        say_field(run, "Data file:", info.data_file);
    }
    for (const auto& [name, value] : info.details) {
        if (const std::string text = value_text(value); !text.empty()) {
            say_field(run, (name + ":").c_str(), text);
        }
    }
    if (session.lock().writer_present()) {
        say_field(run, "In use by:", holders_text(session.lock().writers()));
    }
    if (job_found) {
        say_field(run, "Job:", "an interrupted one; prl_disk_tool recover finishes it or rolls it back");
    }
}

void say_chain(const Run& run, const ImageInfo& info) {
    if (info.chain.size() < 2) {
        return;
    }
    TextTable table({{"Path", Align::left},
                     {"Format", Align::left},
                     {"Size", Align::right},
                     {"On the host", Align::right}});
    for (const ChainMember& member : info.chain) {
        table.add({printable(member.path), member.format, size_text(member.virtual_size),
                   size_text(member.allocated)});
    }
    run.say("\nBacking chain, top first");
    say_table(run, table);
}

void say_snapshots(const Run& run, const ImageInfo& info) {
    if (info.snapshots.empty()) {
        return;
    }
    TextTable table({{"ID", Align::left},
                     {"Name", Align::left},
                     {"Created", Align::left},
                     {"Disk size", Align::right},
                     {"VM state", Align::right}});
    for (const SnapshotInfo& snapshot : info.snapshots) {
        table.add({printable(snapshot.id), printable(snapshot.name), date_text(snapshot.created),
                   size_text(snapshot.virtual_size),
                   snapshot.vm_state_size == 0 ? "" : size_text(snapshot.vm_state_size)});
    }
    run.say("\nInternal snapshots");
    say_table(run, table);
}

void say_bitmaps(const Run& run, const ImageInfo& info) {
    if (info.bitmaps.empty()) {
        return;
    }
    TextTable table({{"Name", Align::left}, {"Granularity", Align::right}, {"State", Align::left}});
    for (const BitmapInfo& bitmap : info.bitmaps) {
        table.add({printable(bitmap.name), size_text(bitmap.granularity),
                   bitmap.in_use      ? "not closed: its content is not valid"
                   : bitmap.recording ? "recording"
                                      : "not recording"});
    }
    run.say("\nBitmaps");
    say_table(run, table);
}

std::string reason_text(Reason reason) {
    std::string text(name(reason));
    std::replace(text.begin(), text.end(), '_', ' ');
    return text;
}

std::string content_state(const Content& content) {
    if (content.problem) {
        return content.problem->code == ErrorCode::unsupported && content.problem->reason != Reason::encrypted
                   ? "not supported"
                   : reason_text(content.problem->reason);
    }
    return content.state.clean() ? "clean" : reason_text(content.state.reason);
}

void add_content(TextTable& table, const Content& content, const std::string& number, const Range* place,
                 const std::string& type) {
    const auto& usage = content.usage;
    table.add({number, place != nullptr ? std::to_string(place->offset) : "",
               place != nullptr ? std::to_string(place->end()) : "", size_text(content.range.length),
               printable(type), content.type.empty() ? "unknown" : printable(content.type),
               usage ? printable(usage->label) : "",
               usage ? size_text(usage->size - std::min(usage->free, usage->size)) : "",
               usage ? size_text(usage->free) : "", content.minimum ? size_text(content.minimum->bytes) : "",
               content_state(content)});
    for (const Content& inner : content.inner) {
        add_content(table, inner, "  " + printable(inner.volume), nullptr, "");
    }
}

std::string type_text(const Partition& partition) {
    std::string text = partition.type_name.empty() ? partition.type : partition.type_name;
    if (partition.bootable) {
        text += ", boot";
    }
    return partition.name.empty() ? text : fmt::format("{} \"{}\"", text, partition.name);
}

void say_disk(const Run& run, const DiskSurvey& survey) {
    run.say(fmt::format("\nPartition table: {}{}", survey.table.type_text(),
                        survey.table.id.empty() ? "" : ", " + printable(survey.table.id)));
    TextTable table({{"No", Align::left},
                     {"Start", Align::right},
                     {"End", Align::right},
                     {"Size", Align::right},
                     {"Type", Align::left},
                     {"Content", Align::left},
                     {"Label", Align::left},
                     {"Used", Align::right},
                     {"Free", Align::right},
                     {"Minimum", Align::right},
                     {"State", Align::left}});
    for (const Partition& partition : survey.table.partitions) {
        if (partition.extended) {
            table.add({std::to_string(partition.number), std::to_string(partition.range.offset),
                       std::to_string(partition.range.end()), size_text(partition.range.length),
                       printable(type_text(partition)), "", "", "", "", "", ""});
        }
        for (const Content& content : survey.contents) {
            if (content.partition == partition.number) {
                add_content(table, content, std::to_string(partition.number), &partition.range,
                            type_text(partition));
            }
        }
    }
    for (const Content& content : survey.contents) {
        if (content.partition == 0) {
            add_content(table, content, "disk", &content.range, "");
        }
    }
    if (!survey.contents.empty()) {
        say_table(run, table);
    }
}

Json holders_json(const std::vector<LockHolder>& holders) {
    Json json = Json::array();
    for (const LockHolder& holder : holders) {
        json.push_back({{"pid", holder.pid}, {"program", holder.program}});
    }
    return json;
}

} // namespace

void run_info(Run& run) {
    Session& session = run.open(Access::read);
    const bool job_found = look_for_job(run);
    const ImageInfo& info = session.image().info();
    const DiskLook look = look_at_disk(session, {.minimum_sizes = true});
    const std::optional<std::string> allocation = allocation_text(session.image());

    run.json()["image"] = image_json(info);
    if (allocation) {
        run.json()["image"]["allocation"] = *allocation;
    }
    run.json()["in_use"] = session.lock().writer_present();
    run.json()["writers"] = holders_json(session.lock().writers());
    run.json()["disk"] = survey_json(look.survey);
    if (look.problem) {
        run.json()["disk"]["problem"] = {{"code", name(look.problem->code)},
                                         {"reason", name(look.problem->reason)},
                                         {"message", look.problem->sentence}};
    }
    say_image(run, session, allocation, job_found);
    say_chain(run, info);
    say_snapshots(run, info);
    say_bitmaps(run, info);
    if (!look.problem) {
        say_disk(run, look.survey);
    }
    say_troubles(run, troubles(info, look));
}

} // namespace disktool::cli
