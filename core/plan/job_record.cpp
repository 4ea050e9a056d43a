// SPDX-License-Identifier: LGPL-2.1-or-later
#include "plan/job_record.h"

#include "engine/own_place.h"

#include <disktool/bytes.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <stdexcept>

namespace disktool {
namespace {

using Json = nlohmann::ordered_json;

constexpr int record_version = 1;
constexpr std::size_t largest_record = 16 * MiB;
constexpr std::size_t hashed_size = 4096;

std::string recovery_name(Recovery recovery) {
    switch (recovery) {
    case Recovery::mend:
        break;
    }
    return "mend";
}

std::string header_hash(File& file) {
    std::vector<std::byte> head(hashed_size);
    head.resize(file.read_some(0, head));
    return fmt::format("{:016x}", fnv1a(head));
}

FileIdentity identify(File& file) {
    const FileStatus status = file.status();
    return {file.path(), status.device, status.inode, status.size, header_hash(file)};
}

FileIdentity identify(Doors doors, const std::string& path) {
    return identify(*doors.files.open(path, {.follow_links = false}));
}

Json to_json(const FileIdentity& file) {
    return {{"path", file.path},
            {"device", file.device},
            {"inode", file.inode},
            {"size", file.size},
            {"header_hash", file.header_hash}};
}

FileIdentity identity_from_json(const Json& file) {
    return {file.at("path").get<std::string>(), file.at("device").get<std::uint64_t>(),
            file.at("inode").get<std::uint64_t>(), file.at("size").get<std::uint64_t>(),
            file.at("header_hash").get<std::string>()};
}

Json to_json(const JobRecord& record) {
    Json steps = Json::array();
    for (const auto& [kind, text] : record.steps) {
        steps.push_back({{"kind", kind}, {"text", text}});
    }
    Json files = Json::array();
    for (const FileIdentity& file : record.files) {
        files.push_back(to_json(file));
    }
    Json merged = Json::array();
    for (const FileIdentity& file : record.merged) {
        merged.push_back(to_json(file));
    }
    return {{"version", record.version},   {"verb", record.verb},
            {"recovery", record.recovery}, {"tool_version", record.tool_version},
            {"pid", record.pid},           {"started", record.started},
            {"step", record.step},         {"steps", std::move(steps)},
            {"files", std::move(files)},   {"made", record.made},
            {"merged", std::move(merged)}};
}

JobRecord from_json(const Json& json) {
    if (json.at("version") != record_version || json.at("recovery") != recovery_name(Recovery::mend)) {
        throw std::runtime_error("another version of disktool wrote it, and only that can recover from it");
    }
    JobRecord record;
    json.at("version").get_to(record.version);
    json.at("verb").get_to(record.verb);
    json.at("recovery").get_to(record.recovery);
    json.at("tool_version").get_to(record.tool_version);
    json.at("pid").get_to(record.pid);
    json.at("started").get_to(record.started);
    json.at("step").get_to(record.step);
    for (const Json& step : json.at("steps")) {
        record.steps.emplace_back(step.at("kind").get<std::string>(), step.at("text").get<std::string>());
    }
    for (const Json& file : json.at("files")) {
        record.files.push_back(identity_from_json(file));
    }
    // Records of the first version have neither.
    record.made = json.value("made", std::vector<std::string>{});
    for (const Json& file : json.value("merged", Json::array())) {
        record.merged.push_back(identity_from_json(file));
    }
    return record;
}

} // namespace

std::string job_record_path(const std::string& image_path) {
    return image_path + ".disktool-job";
}

std::optional<JobRecord> read_job_record(Doors doors, const std::string& image_path) {
    const std::string path = job_record_path(image_path);
    const std::optional<FileStatus> status = doors.files.status(path, false);
    if (!status) {
        return std::nullopt;
    }
    // A record tells which files to remove, so it must come from whoever could remove them anyway.
    if (status->type != FileType::regular || (status->owner != ::geteuid() && status->owner != 0)) {
        throw Error(
            ErrorCode::recovery,
            fmt::format("{} looks like the record of an interrupted job, but belongs to user {}, so it is "
                        "not followed. Let that user run \"prl_disk_tool recover\", or remove it",
                        path, status->owner),
            Reason::job_not_recoverable);
    }
    try {
        return from_json(Json::parse(doors.files.read_text(path, largest_record)));
    } catch (const std::exception& error) {
        throw Error(
            ErrorCode::recovery,
            fmt::format("the record of an interrupted job, {}, cannot be understood: {}. Check the image "
                        "(qemu-img check), and when it is in order remove the record",
                        path, error.what()),
            Reason::job_not_recoverable);
    }
}

bool record_matches(const JobRecord& record, const FileStatus& image) {
    return std::any_of(record.files.begin(), record.files.end(), [&](const FileIdentity& file) {
        return file.device == image.device && file.inode == image.inode;
    });
}

JobRecord make_job_record(Session& session, const Plan& plan) {
    JobRecord record;
    record.version = record_version;
    record.verb = plan.verb();
    record.recovery = recovery_name(plan.recovery());
    record.tool_version = version();
    record.pid = ::getpid();
    record.started = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
    for (const auto& step : plan.steps()) {
        record.steps.emplace_back(step->kind(), step->text());
    }
    record.files.push_back(identify(session.file()));
    if (!plan.successor().empty()) {
        record.files.push_back(identify(session.doors(), plan.successor()));
    }
    for (const LeftBehind& left : plan.left_behind()) {
        if (left.made_by_job) {
            record.made.push_back(left.path);
        } else {
            record.merged.push_back(identify(session.doors(), left.path));
        }
    }
    return record;
}

void write_job_record(Doors doors, const std::string& image_path, const JobRecord& record) {
    // File names need not be UTF-8, and JSON must be.
    const std::string text = to_json(record).dump(2, ' ', false, Json::error_handler_t::replace);
    doors.files.replace_text(job_record_path(image_path), text + "\n");
}

void remove_unfinished_record(Doors doors, const std::string& image_path) {
    const std::string path = job_record_path(image_path) + ".new";
    if (doors.files.status(path, false)) {
        doors.files.remove(path);
        doors.files.sync_directory(directory_of(path));
    }
}

void remove_job_record(Doors doors, const std::string& image_path) {
    const std::string path = job_record_path(image_path);
    for (const std::string& name : {path + ".new", path}) {
        if (doors.files.status(name, false)) {
            doors.files.remove(name);
        }
    }
    doors.files.sync_directory(directory_of(path));
}

} // namespace disktool
