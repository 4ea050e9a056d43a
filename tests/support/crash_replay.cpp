// SPDX-License-Identifier: LGPL-2.1-or-later
// What a crash leaves, and how it is put on a disk. The rules are in crash_states.cpp.
#include "support/crash_states.h"
#include "support/recording_door.h"

#include <stdexcept>
#include <utility>

namespace fs = std::filesystem;

namespace disktool::test {

/// The states at the last cut that was asked for.
struct RecordingDoor::Replay {
    explicit Replay(const RecordingDoor& door) : states(door) {}
    CrashStates states;
    std::size_t cut = 0;
};

RecordingDoor::~RecordingDoor() = default;

FolderState RecordingDoor::left_by(std::size_t cut, Survivors survivors, std::uint32_t seed) const {
    if (cut > changes_.size())
        throw std::logic_error("RecordingDoor::left_by: no such cut");
    if (!replay_ || replay_->cut > cut)
        replay_ = std::make_shared<Replay>(*this);
    replay_->states.advance(cut);
    replay_->cut = cut;
    return replay_->states.state(survivors, seed);
}

void RecordingDoor::put(const FolderState& state, const fs::path& target) const {
    if (fs::equivalent(target, folder_))
        throw std::logic_error("RecordingDoor::put: the folder itself");
    for (const auto& entry : fs::directory_iterator(target))
        fs::remove_all(entry.path());
    std::map<std::size_t, std::uint32_t> modes;
    for (const auto& [number, name] : first_names_)
        modes[number] = static_cast<std::uint32_t>(fs::status(before_.path() / name).permissions());
    for (const Change& change : changes_)
        if (change.kind == ChangeKind::create)
            modes[change.file] = change.mode;
    for (const auto& entry : fs::recursive_directory_iterator(before_.path())) {
        const fs::path name = entry.path().lexically_relative(before_.path());
        if (entry.is_symlink())
            fs::copy_symlink(entry.path(), target / name);
        else if (entry.is_directory())
            fs::create_directory(target / name, entry.path());
    }
    std::map<std::size_t, fs::path> stored;
    for (const auto& [name, number] : state.names) {
        const auto [first, fresh] = stored.try_emplace(number, target / name);
        if (fresh)
            state.files.at(number).store((target / name).string(), modes.at(number));
        else
            fs::create_hard_link(first->second, target / name);
    }
}

} // namespace disktool::test
