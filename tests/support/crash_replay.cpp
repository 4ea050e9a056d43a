// SPDX-License-Identifier: LGPL-2.1-or-later
// What a crash leaves, made from the copy taken before and the changes recorded since.
//
// A file's content and its names are kept apart, as a file system keeps them. Content is durable once that file
// was synced; names are durable once the folder was synced, and since file systems keep changes to names in a
// journal in order, all earlier ones are so, too.
#include "support/recording_door.h"
#include "support/run.h"

#include <algorithm>
#include <random>
#include <set>
#include <stdexcept>

namespace fs = std::filesystem;

namespace disktool::test {

namespace {

constexpr std::size_t sector = 512;
constexpr std::size_t page = 4096; // a write is interrupted between two of them

bool changes_names(const Change& change) {
    return change.kind == ChangeKind::create || change.kind == ChangeKind::rename ||
           change.kind == ChangeKind::link || change.kind == ChangeKind::remove;
}

bool changes_content(const Change& change) {
    switch (change.kind) {
    case ChangeKind::write:
    case ChangeKind::punch_hole:
    case ChangeKind::zero:
    case ChangeKind::allocate:
    case ChangeKind::truncate:
        return true;
    default:
        return false;
    }
}

std::string folder_of(const std::string& name) {
    const std::string folder = fs::path(name).parent_path().string();
    return folder.empty() ? "." : folder;
}

/// Which of the changes are surely on stable storage.
std::vector<bool> durable_changes(std::span<const Change> changes) {
    std::vector<bool> durable(changes.size(), false);
    for (std::size_t i = 0; i < changes.size(); ++i) {
        if (changes[i].kind == ChangeKind::sync) {
            for (std::size_t j = i; j-- > 0;) {
                if (changes[j].file != changes[i].file)
                    continue;
                if (changes[j].kind == ChangeKind::failed_sync)
                    break; // what lies before it was perhaps lost, and this sync does not tell
                if (changes_content(changes[j]))
                    durable[j] = true;
            }
        } else if (changes[i].kind == ChangeKind::sync_directory) {
            bool reached = false;
            for (std::size_t j = i; j-- > 0;) {
                if (!changes_names(changes[j]))
                    continue;
                reached = reached || folder_of(changes[j].path) == changes[i].path ||
                          (!changes[j].new_path.empty() && folder_of(changes[j].new_path) == changes[i].path);
                if (reached)
                    durable[j] = true;
            }
        }
    }
    return durable;
}

/// Does the changes to files that lie, under their numbers, in one folder, and to the names in another.
class Replay {
  public:
    Replay(fs::path files, fs::path names) : files_(std::move(files)), names_(std::move(names)) {}

    void change_name(const Change& change) const {
        switch (change.kind) {
        case ChangeKind::create:
            fs::create_hard_link(file(change), names_ / change.path);
            break;
        case ChangeKind::rename:
            fs::rename(names_ / change.path, names_ / change.new_path);
            break;
        case ChangeKind::link:
            fs::create_hard_link(names_ / change.path, names_ / change.new_path);
            break;
        default:
            fs::remove(names_ / change.path);
        }
    }

    void change_content(const Change& change) const {
        const auto opened = open(change);
        switch (change.kind) {
        case ChangeKind::write:
            opened->write(change.range.offset, change.data);
            break;
        case ChangeKind::punch_hole:
            opened->punch_hole(change.range);
            break;
        case ChangeKind::zero:
            opened->zero(change.range);
            break;
        case ChangeKind::allocate:
            opened->allocate(change.range, change.keep_size);
            break;
        default:
            opened->truncate(change.range.length);
        }
    }

    void write_first_half(const Change& change) const {
        const std::uint64_t end = (change.range.offset + change.data.size() / 2) / page * page;
        if (end > change.range.offset)
            write_part(change, 0, end - change.range.offset);
    }

    void write_part(const Change& change, std::size_t start, std::size_t length) const {
        open(change)->write(change.range.offset + start, std::span(change.data).subspan(start, length));
    }

    /// Each sector (of the disk, not of the write) is there or not.
    void write_random_sectors(const Change& change, std::mt19937& random) const {
        for (std::size_t start = 0; start < change.data.size();) {
            const std::size_t in_sector = sector - (change.range.offset + start) % sector;
            const std::size_t length = std::min(in_sector, change.data.size() - start);
            if (random() % 2 == 0)
                write_part(change, start, length);
            start += length;
        }
    }

  private:
    fs::path file(const Change& change) const { return files_ / std::to_string(change.file); }
    std::unique_ptr<File> open(const Change& change) const {
        return real_doors().files.open(file(change).string(), {.write = true});
    }

    fs::path files_;
    fs::path names_;
};

} // namespace

void RecordingDoor::materialise(std::size_t cut, Survivors survivors, const fs::path& target,
                                std::uint32_t seed) const {
    if (cut > changes_.size() || fs::equivalent(target, folder_))
        throw std::logic_error("RecordingDoor::materialise: no such cut, or the folder itself");
    for (const auto& entry : fs::directory_iterator(target))
        fs::remove_all(entry.path());
    run_tool({"cp", "-a", "--", (before_.path() / ".").string(), target.string()});

    const std::span<const Change> done = std::span(changes_).first(cut);
    const fs::path files = target / ".files-by-number";
    fs::create_directory(files);
    for (const auto& [number, name] : first_names_)
        fs::create_hard_link(target / name, files / std::to_string(number));
    for (const Change& change : done)
        if (change.kind == ChangeKind::create)
            real_doors().files.open((files / std::to_string(change.file)).string(),
                                    {.write = true, .create = true, .exclusive = true, .mode = change.mode});

    const Replay replay(files, target);
    const bool power_cut = survivors == Survivors::synced || survivors == Survivors::random;
    const std::vector<bool> durable = power_cut ? durable_changes(done) : std::vector<bool>(cut, true);
    std::mt19937 random(seed);
    const auto pending_names =
        static_cast<std::size_t>(std::count_if(done.begin(), done.end(), [&](const Change& change) {
            return changes_names(change) && !durable[static_cast<std::size_t>(&change - done.data())];
        }));
    std::size_t surviving_names = survivors == Survivors::random ? random() % (pending_names + 1) : 0;
    for (std::size_t i = 0; i < cut; ++i) {
        const Change& change = done[i];
        if (changes_names(change)) {
            if (durable[i] || surviving_names > 0)
                replay.change_name(change);
            if (!durable[i] && surviving_names > 0)
                --surviving_names;
        } else if (changes_content(change)) {
            const bool is_write = change.kind == ChangeKind::write;
            if (survivors == Survivors::torn && i + 1 == cut && is_write) {
                replay.write_first_half(change);
            } else if (durable[i]) {
                replay.change_content(change);
            } else if (survivors == Survivors::random) {
                switch (random() % 3) {
                case 0:
                    break;
                case 1:
                    replay.change_content(change);
                    break;
                default:
                    if (is_write)
                        replay.write_random_sectors(change, random);
                }
            }
        }
    }
    fs::remove_all(files);
}

} // namespace disktool::test
