// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/crash_states.h"

#include <disktool/doors.h>

#include <fmt/format.h>

#include <algorithm>
#include <regex>
#include <stdexcept>

namespace fs = std::filesystem;

namespace disktool::test {

namespace {

constexpr std::size_t sector = 512;
constexpr std::size_t page = MemoryFile::page_size; // a write is interrupted between two of them

bool changes_names(const Change& change) {
    return change.kind == ChangeKind::create || change.kind == ChangeKind::rename ||
           change.kind == ChangeKind::link || change.kind == ChangeKind::remove;
}

std::string folder_of(const std::string& name) {
    const std::string folder = fs::path(name).parent_path().string();
    return folder.empty() ? "." : folder;
}

void change_name(FolderState& state, const Change& change) {
    switch (change.kind) {
    case ChangeKind::create:
        state.names[change.path] = change.file;
        break;
    case ChangeKind::rename:
        state.names[change.new_path] = state.names.at(change.path);
        state.names.erase(change.path);
        break;
    case ChangeKind::link:
        state.names[change.new_path] = state.names.at(change.path);
        break;
    default:
        state.names.erase(change.path);
    }
}

void change_content(MemoryFile& file, const Change& change) {
    switch (change.kind) {
    case ChangeKind::write:
        file.write(change.range.offset, change.data);
        break;
    case ChangeKind::punch_hole:
        file.punch_hole(change.range);
        break;
    case ChangeKind::zero:
        file.punch_hole(change.range);
        file.allocate(change.range, false);
        break;
    case ChangeKind::allocate:
        file.allocate(change.range, change.keep_size);
        break;
    case ChangeKind::truncate:
        file.truncate(change.range.length);
        break;
    default:
        throw std::logic_error("not a change of content: " + change.text());
    }
}

/// Each sector (of the disk, not of the write) is there or not.
void write_random_sectors(MemoryFile& file, const Change& change, std::mt19937& random) {
    for (std::size_t start = 0; start < change.data.size();) {
        const std::size_t in_sector = sector - (change.range.offset + start) % sector;
        const std::size_t length = std::min(in_sector, change.data.size() - start);
        if (random() % 2 == 0) {
            file.write(change.range.offset + start, std::span(change.data).subspan(start, length));
        }
        start += length;
    }
}

bool is_record(const std::string& name) {
    return name.find(".disktool-job") != std::string::npos;
}

} // namespace

std::uint64_t FolderState::signature() const {
    std::uint64_t result = 0;
    for (const auto& [name, number] : names) {
        result = (result ^ std::hash<std::string>()(name)) * 0x100000001b3;
        result = (result ^ files.at(number).signature()) * 0x100000001b3;
    }
    return result;
}

CrashStates::CrashStates(const RecordingDoor& door) : door_(door) {
    for (const auto& [number, name] : door.first_names()) {
        seen_.names[name] = number;
        seen_.files[number] = MemoryFile::load((door.before() / name).string());
    }
    for (const auto& [identity, number] : door.first_identities()) {
        numbers_by_inode_[identity.second] = number;
    }
    durable_ = before_last_ = seen_;
}

void CrashStates::advance(std::size_t cut) {
    for (; cut_ < cut; ++cut_) {
        const Change& change = door_.changes().at(cut_);
        if (cut_ + 1 == cut) {
            before_last_ = seen_;
        }
        if (changes_names(change)) {
            if (change.kind == ChangeKind::create) {
                seen_.files[change.file] = {};
                durable_.files[change.file] = {};
            }
            change_name(seen_, change);
            pending_names_.push_back(&change);
        } else if (change.kind == ChangeKind::sync) {
            settle_content(change.file);
        } else if (change.kind == ChangeKind::failed_sync) {
            Pending& pending = pending_content_[change.file];
            pending.doubtful = pending.entries.size();
        } else if (change.kind == ChangeKind::sync_directory) {
            settle_names(change);
        } else {
            change_content(seen_.files.at(change.file), change);
            pending_content_[change.file].entries.push_back({&change, false});
        }
    }
}

void CrashStates::settle_content(std::size_t file) {
    Pending& pending = pending_content_[file];
    if (pending.doubtful > 0) {
        for (std::size_t i = pending.doubtful; i < pending.entries.size(); ++i) {
            pending.entries[i].durable = true;
        }
        return;
    }
    for (const auto& entry : pending.entries) {
        change_content(durable_.files.at(file), *entry.change);
    }
    pending.entries.clear();
}

/// File systems keep changes to names in a journal in order: all up to the last one of that folder.
void CrashStates::settle_names(const Change& sync) {
    const auto last = std::find_if(pending_names_.rbegin(), pending_names_.rend(), [&](const Change* change) {
        return folder_of(change->path) == sync.path ||
               (!change->new_path.empty() && folder_of(change->new_path) == sync.path);
    });
    const auto end = last.base();
    for (auto it = pending_names_.begin(); it != end; ++it) {
        change_name(durable_, **it);
    }
    pending_names_.erase(pending_names_.begin(), end);
}

FolderState CrashStates::torn_state() const {
    const Change* last = cut_ == 0 ? nullptr : &door_.changes()[cut_ - 1];
    if (last == nullptr || last->kind != ChangeKind::write) {
        return seen_;
    }
    FolderState state = before_last_;
    const std::uint64_t end = (last->range.offset + last->data.size() / 2) / page * page;
    if (end > last->range.offset) {
        state.files.at(last->file)
            .write(last->range.offset, std::span(last->data).first(end - last->range.offset));
    }
    return state;
}

FolderState CrashStates::synced_state() const {
    FolderState state = durable_;
    for (const auto& [number, pending] : pending_content_) {
        for (const auto& entry : pending.entries) {
            if (entry.durable) {
                change_content(state.files.at(number), *entry.change);
            }
        }
    }
    return state;
}

FolderState CrashStates::random_state(std::uint32_t seed) const {
    std::mt19937 random(seed * 7919 + static_cast<std::uint32_t>(cut_));
    FolderState state = durable_;
    const std::size_t surviving = random() % (pending_names_.size() + 1);
    for (std::size_t i = 0; i < surviving; ++i) {
        change_name(state, *pending_names_[i]);
    }
    for (const auto& [number, pending] : pending_content_) {
        MemoryFile& file = state.files.at(number);
        for (const auto& [change, durable] : pending.entries) {
            if (durable) {
                change_content(file, *change);
                continue;
            }
            switch (random() % 3) {
            case 0:
                break;
            case 1:
                change_content(file, *change);
                break;
            default:
                if (change->kind == ChangeKind::write) {
                    write_random_sectors(file, *change, random);
                }
            }
        }
    }
    return state;
}

FolderState CrashStates::state(Survivors survivors, std::uint32_t seed) const {
    switch (survivors) {
    case Survivors::all:
        return seen_;
    case Survivors::torn:
        return torn_state();
    case Survivors::synced:
        return synced_state();
    case Survivors::random:
        break;
    }
    return random_state(seed);
}

void CrashStates::store(const FolderState& state, const fs::path& target) const {
    door_.put(state, target);
    std::map<std::uint64_t, std::uint64_t> inodes; // the original's, the copy's
    for (const auto& [name, number] : state.names) {
        for (const auto& [inode, file] : numbers_by_inode_) {
            if (file == number && !is_record(name)) {
                inodes[inode] = real_doors().files.status((target / name).string(), false)->inode;
            }
        }
    }
    static const std::regex inode_of("\"inode\": ([0-9]+)");
    for (const auto& [name, number] : state.names) {
        if (!is_record(name)) {
            continue;
        }
        const std::string text = state.files.at(number).text();
        std::string changed;
        auto rest = text.begin();
        for (std::sregex_iterator it(text.begin(), text.end(), inode_of), none; it != none; ++it) {
            const auto known = inodes.find(std::stoull((*it)[1]));
            changed.append(rest, (*it)[1].first);
            changed += known != inodes.end() ? std::to_string(known->second) : (*it)[1].str();
            rest = (*it)[1].second;
        }
        changed.append(rest, text.end());
        const std::string old_folder = door_.folder().string() + "/";
        for (std::size_t at = 0; (at = changed.find(old_folder, at)) != std::string::npos;) {
            changed.replace(at, old_folder.size(), target.string() + "/");
            at += target.string().size();
        }
        write_file((target / name).string(), changed);
    }
}

} // namespace disktool::test
