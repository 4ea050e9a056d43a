// SPDX-License-Identifier: LGPL-2.1-or-later
#include "volume_kind.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace disktool::lvm2 {

namespace {

std::string kind_problem(const std::string& kind) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 12> known{{
        {"thin-pool", "is a thin pool"},
        {"thin", "is a thin volume"},
        {"cache-pool", "is a cache pool"},
        {"cache", "is a cached volume"},
        {"writecache", "has a write cache"},
        {"mirror", "is a mirror"},
        {"snapshot", "is a snapshot"},
        {"vdo-pool", "is a VDO pool"},
        {"vdo", "is a VDO volume"},
        {"integrity", "has integrity data"},
        {"error", "has a part that was lost (segment type error)"},
        {"zero", "has a part without room on the disk (segment type zero)"},
    }};
    const auto found = std::ranges::find(known, kind, [](const auto& entry) { return entry.first; });
    if (found != known.end())
        return std::string(found->second);
    if (kind.starts_with("raid"))
        return fmt::format("is a RAID volume ({})", shown_kind(kind));
    return fmt::format("is of the kind \"{}\"", shown_kind(kind));
}

void set(LogicalVolume& volume, std::string problem) {
    if (!volume.problem.empty())
        return;
    volume.problem = std::move(problem);
    volume.reason = Reason::volume_kind;
}

} // namespace

std::string shown_kind(const std::string& kind) {
    std::string shown = kind.substr(0, 40);
    for (char& c : shown)
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
              c == '_'))
            c = '?';
    return shown;
}

void name_problems(VolumeGroup& group) {
    struct User {
        const LogicalVolume* volume;
        bool snapshot;
    };
    std::map<std::string, User, std::less<>> users;
    for (const LogicalVolume& volume : group.volumes)
        for (const Segment& segment : volume.segments)
            for (const std::string& name : segment.references)
                users.emplace(name, User{&volume, segment.kind == "snapshot"});

    for (LogicalVolume& volume : group.volumes) {
        for (const Segment& segment : volume.segments)
            if (segment.kind != "striped")
                set(volume, kind_problem(segment.kind));
        if (const auto user = users.find(volume.name); user != users.end())
            set(volume, user->second.snapshot
                            ? std::string("is a snapshot, or has one")
                            : fmt::format("is a part of {}/{}", group.name, user->second.volume->name));
        if (!volume.plain())
            set(volume, "is made of other volumes");
        if (!volume.visible)
            set(volume, "is hidden, for LVM's own use");
    }
}

} // namespace disktool::lvm2
