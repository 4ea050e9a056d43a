// SPDX-License-Identifier: LGPL-2.1-or-later
// map: which parts of the disk are in use, could be given back, or take no room at all.
#include "command.h"
#include "disk_look.h"
#include "map_line.h"
#include "map_svg.h"
#include "text_table.h"
#include "verb/disk_map.h"

#include <disktool/size.h>

#include <fmt/format.h>

namespace disktool::cli {

namespace {

/// A badly fragmented disk of 1 TiB has millions; nobody reads those, and a program asks for the summary.
constexpr std::size_t most_segments = 65536;

constexpr std::array all_uses = {DiskUse::data,        DiskUse::backing, DiskUse::free,
                                 DiskUse::unallocated, DiskUse::table,   DiskUse::outside};

Json bytes_json(const UseBytes& bytes) {
    Json json = Json::object();
    for (const DiskUse use : all_uses) {
        json[std::string(name(use))] = bytes[use];
    }
    return json;
}

Json range_json(Range range) {
    return {{"offset", range.offset}, {"length", range.length}};
}

Json part_json(const MapPart& part) {
    Json json = {{"partition", part.partition},
                 {"text", part.text},
                 {"range", range_json(part.range)},
                 {"bytes", bytes_json(part.bytes)}};
    if (!part.volumes.empty()) {
        json["volumes"] = Json::array();
        for (const MapVolume& volume : part.volumes) {
            json["volumes"].push_back({{"text", volume.text}, {"bytes", bytes_json(volume.bytes)}});
        }
    }
    return json;
}

Json map_json(const DiskMap& map) {
    Json json = {{"size", map.size}, {"bytes", bytes_json(map.bytes)}, {"parts", Json::array()}};
    for (const MapPart& part : map.parts) {
        json["parts"].push_back(part_json(part));
    }
    const MapSegments segments = map.segments(most_segments);
    json["resolution"] = segments.resolution;
    json["segments"] = Json::array();
    for (const MapSegment& segment : segments.list) {
        Json entry = range_json(segment.range);
        entry["use"] = name(segment.use);
        json["segments"].push_back(std::move(entry));
    }
    json["notes"] = map.notes;
    return json;
}

std::vector<std::string> amounts(std::string label, const UseBytes& bytes, std::uint64_t size) {
    std::vector<std::string> cells = {std::move(label), size_text(size)};
    for (const DiskUse use : {DiskUse::data, DiskUse::backing, DiskUse::free, DiskUse::unallocated}) {
        cells.push_back(bytes[use] == 0 ? "" : size_text(bytes[use]));
    }
    return cells;
}

void say_parts(const Run& run, const DiskMap& map) {
    if (map.parts.empty()) {
        return;
    }
    using Align = TextTable::Align;
    TextTable table({{"", Align::left},
                     {"Size", Align::right},
                     {"In use", Align::right},
                     {"In backing image", Align::right},
                     {"Free, still held", Align::right},
                     {"Not allocated", Align::right}});
    for (const MapPart& part : map.parts) {
        table.add(amounts(printable(part.text), part.bytes, part.range.length));
        for (const MapVolume& volume : part.volumes) {
            table.add(amounts("  " + printable(volume.text), volume.bytes, volume.bytes.total()));
        }
    }
    run.say("");
    for (const std::string& line : table.lines("")) {
        run.say(line);
    }
}

} // namespace

void run_map(Run& run) {
    const Arguments& arguments = run.arguments();
    Session& session = run.open(Access::read);
    look_for_job(run);
    const ImageInfo& info = session.image().info();
    DiskLook look = look_at_disk(session, {});
    if (look.problem && look.problem->reason == Reason::encrypted) {
        throw Error(look.problem->code, look.problem->sentence, look.problem->reason);
    }
    const DiskMap map = map_disk(session.image(), look.survey);
    run.json()["image"] = image_json(info);
    run.json()["disk"] = survey_json(look.survey);
    run.json()["map"] = map_json(map);
    if (arguments.svg.empty()) {
        for (const std::string& line : map_lines(map, style_of_output())) {
            run.say(line);
        }
        say_parts(run, map);
    } else {
        write_svg(session.doors().files, arguments.svg,
                  map_svg(map, fmt::format("{}, {}", arguments.image, size_text(map.size))));
        run.say(fmt::format("{}: the map of {}", arguments.svg, arguments.image));
    }
    std::vector<std::string> sentences = troubles(info, look);
    if (!info.snapshots.empty() && map.bytes[DiskUse::free] != 0) {
        sentences.emplace_back("Free space that internal snapshots share is not given back while they exist");
    }
    say_troubles(run, sentences);
}

} // namespace disktool::cli
