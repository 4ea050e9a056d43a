// SPDX-License-Identifier: LGPL-2.1-or-later
// Recording and failing. What a crash leaves is made in crash_replay.cpp.
#include "support/recording_door.h"

#include "support/run.h"

#include <disktool/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <stdexcept>

namespace fs = std::filesystem;

namespace disktool::test {

namespace {

/// As the real door tells it.
SystemCall call_of(ChangeKind kind) {
    switch (kind) {
    case ChangeKind::write:
        return SystemCall::write;
    case ChangeKind::punch_hole:
    case ChangeKind::zero:
    case ChangeKind::allocate:
        return SystemCall::allocate;
    case ChangeKind::truncate:
        return SystemCall::truncate;
    case ChangeKind::sync:
    case ChangeKind::failed_sync:
    case ChangeKind::sync_directory:
        return SystemCall::sync;
    case ChangeKind::create:
    case ChangeKind::link:
        return SystemCall::create;
    case ChangeKind::rename:
        return SystemCall::rename;
    case ChangeKind::remove:
        return SystemCall::remove;
    }
    return SystemCall::other;
}

} // namespace

std::string Change::text() const {
    const auto about_range = [&](std::string_view action) {
        return fmt::format("{} {} bytes at offset {} of {}", action, range.length, range.offset, path);
    };
    switch (kind) {
    case ChangeKind::write:
        return about_range("write");
    case ChangeKind::punch_hole:
        return about_range("punch");
    case ChangeKind::zero:
        return about_range("zero");
    case ChangeKind::allocate:
        return about_range("allocate");
    case ChangeKind::truncate:
        return fmt::format("truncate {} to {} bytes", path, range.length);
    case ChangeKind::sync:
        return "sync " + path;
    case ChangeKind::failed_sync:
        return "sync " + path + ", failing";
    case ChangeKind::create:
        return "create " + path;
    case ChangeKind::rename:
        return fmt::format("rename {} to {}", path, new_path);
    case ChangeKind::link:
        return fmt::format("link {} as {}", path, new_path);
    case ChangeKind::remove:
        return "remove " + path;
    case ChangeKind::sync_directory:
        return "sync the folder " + path;
    }
    return {};
}

/// Reads go straight to the real file, changes through the door.
class RecordingDoor::RecordingFile : public File {
  public:
    RecordingFile(RecordingDoor& door, std::unique_ptr<File> real, std::size_t number, std::string name)
        : door_(door), real_(std::move(real)), number_(number), name_(std::move(name)) {}

    const std::string& path() const override { return real_->path(); }
    FileStatus status() override { return real_->status(); }
    int descriptor() const override { return real_->descriptor(); }
    std::size_t read_some(std::uint64_t offset, std::span<std::byte> buffer) override {
        return real_->read_some(offset, buffer);
    }
    std::optional<std::uint64_t> next_data(std::uint64_t offset) override { return real_->next_data(offset); }
    std::optional<std::uint64_t> next_hole(std::uint64_t offset) override { return real_->next_hole(offset); }
    bool try_flock(LockMode mode) override { return real_->try_flock(mode); }
    bool try_lock_bytes(Range range, LockMode mode) override { return real_->try_lock_bytes(range, mode); }
    bool could_lock_bytes(Range range, LockMode mode) override { return real_->could_lock_bytes(range, mode); }

    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        const std::lock_guard lock(door_.mutex_);
        const std::uint64_t room = door_.take_space(data.size());
        if (const auto fits = data.first(room); !fits.empty()) {
            Change change = content(ChangeKind::write, {offset, room});
            change.data.assign(fits.begin(), fits.end());
            door_.perform(std::move(change), [&] { real_->write(offset, fits); });
        }
        if (room < data.size())
            throw SystemError("Cannot write to", path(), ENOSPC, SystemCall::write);
    }
    void punch_hole(Range range) override {
        door_.perform(content(ChangeKind::punch_hole, range), [&] { real_->punch_hole(range); });
    }
    void zero(Range range) override {
        need_space(range.length);
        door_.perform(content(ChangeKind::zero, range), [&] { real_->zero(range); });
    }
    void allocate(Range range, bool keep_size) override {
        need_space(range.length);
        Change change = content(ChangeKind::allocate, range);
        change.keep_size = keep_size;
        door_.perform(std::move(change), [&] { real_->allocate(range, keep_size); });
    }
    void truncate(std::uint64_t size) override {
        door_.perform(content(ChangeKind::truncate, {0, size}), [&] { real_->truncate(size); });
    }
    void sync_data() override {
        door_.perform(content(ChangeKind::sync, {}), [&] { real_->sync_data(); });
    }
    void sync() override {
        door_.perform(content(ChangeKind::sync, {}), [&] { real_->sync(); });
    }

    void take_attributes(File& model) override { real_->take_attributes(model); }
    bool share_range(std::uint64_t offset, File& source, Range from) override {
        return door_.shares_ && copy_range(offset, source, from);
    }
    bool copy_range(std::uint64_t offset, File& source, Range from) override {
        Change change = content(ChangeKind::write, {offset, from.length});
        change.data.resize(from.length);
        if (source.read_some(from.offset, change.data) < from.length)
            return false; // it ends before
        need_space(from.length);
        bool copied = false;
        door_.perform(std::move(change), [&] { copied = real_->copy_range(offset, source, from); });
        return copied;
    }

  private:
    Change content(ChangeKind kind, Range range) const {
        return {.kind = kind, .file = number_, .path = name_, .range = range};
    }
    void need_space(std::uint64_t bytes) {
        const std::lock_guard lock(door_.mutex_);
        if (door_.take_space(bytes) < bytes)
            throw SystemError("Cannot reserve room in", path(), ENOSPC, SystemCall::allocate);
    }

    RecordingDoor& door_;
    std::unique_ptr<File> real_;
    std::size_t number_;
    std::string name_; ///< as it was opened, relative to the folder
};

RecordingDoor::RecordingDoor(const fs::path& folder, FileDoor& real)
    : real_(real), folder_(fs::canonical(folder)) {
    // cp keeps holes, hard links, modes and times.
    run_tool({"cp", "-a", "--", (folder_ / ".").string(), before_.path().string()});
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
        if (!entry.is_regular_file() || entry.is_symlink())
            continue;
        const FileStatus status = *real_.status(entry.path().string(), false);
        if (numbers_.try_emplace({status.device, status.inode}, files_).second)
            first_names_[files_++] = entry.path().lexically_relative(folder_).string();
    }
    first_identities_ = numbers_;
}

void RecordingDoor::fail_change(std::size_t number, int error_number) {
    change_failure_ = {number, error_number};
}

void RecordingDoor::fail_sync(std::size_t number, int error_number) {
    sync_failure_ = {number, error_number};
}

void RecordingDoor::limit_space(std::uint64_t bytes) {
    space_ = bytes;
    space_ended_ = false;
}

bool RecordingDoor::failed() const {
    return !change_failure_ && !sync_failure_ && space_ended_;
}

std::vector<std::size_t> RecordingDoor::cuts() const {
    std::vector<std::size_t> all(changes_.size() + 1);
    for (std::size_t i = 0; i < all.size(); ++i)
        all[i] = i;
    return all;
}

std::string RecordingDoor::describe(std::size_t cut) const {
    if (cut == 0)
        return "before any change";
    return fmt::format("after {} changes, the last: {}", cut, changes_.at(cut - 1).text());
}

template <typename Action>
void RecordingDoor::perform(Change change, Action action) {
    const std::lock_guard lock(mutex_);
    const auto is_due = [](std::optional<Failure>& failure) -> int {
        if (!failure || --failure->countdown != 0)
            return 0;
        return std::exchange(failure, std::nullopt)->error_number;
    };
    const bool is_sync = change.kind == ChangeKind::sync || change.kind == ChangeKind::sync_directory;
    int error_number = is_due(change_failure_);
    if (is_sync && error_number == 0)
        error_number = is_due(sync_failure_);
    if (error_number != 0) {
        const std::string text = change.text();
        const SystemCall call = call_of(change.kind);
        if (change.kind == ChangeKind::sync) {
            change.kind = ChangeKind::failed_sync;
            changes_.push_back(std::move(change));
        }
        throw SystemError("The test lets this fail:", text, error_number, call);
    }
    action();
    changes_.push_back(std::move(change));
}

std::uint64_t RecordingDoor::take_space(std::uint64_t bytes) {
    if (!space_)
        return bytes;
    const std::uint64_t taken = std::min(bytes, *space_);
    *space_ -= taken;
    if (taken < bytes)
        space_ended_ = true;
    return taken;
}

std::string RecordingDoor::relative(const std::string& path, bool follow_links) const {
    const fs::path whole = fs::absolute(path);
    const fs::path found = follow_links ? fs::weakly_canonical(whole)
                                        : fs::weakly_canonical(whole.parent_path()) / whole.filename();
    std::string name = found.lexically_relative(folder_).string();
    if (name.empty() || name == ".." || name.starts_with("../"))
        throw std::logic_error(
            fmt::format("RecordingDoor: {} is to be changed, but lies outside {}", path, folder_.string()));
    return name;
}

std::unique_ptr<File> RecordingDoor::open(const std::string& path, OpenFlags flags) {
    if (!flags.write)
        return real_.open(path, flags);
    const std::lock_guard lock(mutex_);
    const std::string name = relative(path, flags.follow_links && !(flags.create && flags.exclusive));
    const bool fresh = flags.create && !real_.status(path, flags.follow_links && !flags.exclusive);
    const bool cut = flags.truncate && !fresh;
    flags.truncate = false; // recorded as a change of its own
    std::unique_ptr<File> file;
    std::size_t number = files_;
    if (fresh) {
        perform({.kind = ChangeKind::create, .file = number, .path = name, .mode = flags.mode},
                [&] { file = real_.open(path, flags); });
        // The host may give it the inode number of a file that is gone.
        const FileStatus status = file->status();
        numbers_[{status.device, status.inode}] = files_++;
    } else {
        file = real_.open(path, flags);
        const FileStatus status = file->status();
        const auto known = numbers_.find({status.device, status.inode});
        if (known == numbers_.end())
            throw std::logic_error(fmt::format("RecordingDoor: {} was made behind the door's back", path));
        number = known->second;
    }
    auto result = std::make_unique<RecordingFile>(*this, std::move(file), number, name);
    if (cut)
        result->truncate(0);
    return result;
}

void RecordingDoor::notice_new_files() {
    const std::lock_guard lock(mutex_);
    std::set<std::string> known;
    for (const auto& [number, name] : first_names_)
        known.insert(name);
    for (const Change& change : changes_) {
        if (change.kind == ChangeKind::rename || change.kind == ChangeKind::remove)
            known.erase(change.path);
        if (change.kind == ChangeKind::create)
            known.insert(change.path);
        if (change.kind == ChangeKind::rename || change.kind == ChangeKind::link)
            known.insert(change.new_path);
    }
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
        const std::string name = entry.path().lexically_relative(folder_).string();
        if (!entry.is_regular_file() || entry.is_symlink() || known.contains(name))
            continue;
        const FileStatus status = *real_.status(entry.path().string(), false);
        const std::size_t number = numbers_[{status.device, status.inode}] = files_++;
        Change content{.kind = ChangeKind::write, .file = number, .path = name, .range = {0, status.size}};
        content.data.resize(status.size);
        real_.open(entry.path().string(), {})->read(0, content.data);
        perform({.kind = ChangeKind::create, .file = number, .path = name, .mode = status.mode}, [] {});
        perform(std::move(content), [] {});
    }
}

std::optional<FileStatus> RecordingDoor::status(const std::string& path, bool follow_links) {
    return real_.status(path, follow_links);
}

std::string RecordingDoor::real_path(const std::string& path) {
    return real_.real_path(path);
}

std::vector<std::string> RecordingDoor::list(const std::string& directory) {
    return real_.list(directory);
}

void RecordingDoor::rename(const std::string& from, const std::string& to) {
    perform({.kind = ChangeKind::rename, .path = relative(from, false), .new_path = relative(to, false)},
            [&] { real_.rename(from, to); });
}

void RecordingDoor::link(const std::string& existing, const std::string& name) {
    perform({.kind = ChangeKind::link, .path = relative(existing, false), .new_path = relative(name, false)},
            [&] { real_.link(existing, name); });
}

void RecordingDoor::remove(const std::string& path) {
    perform({.kind = ChangeKind::remove, .path = relative(path, false)}, [&] { real_.remove(path); });
}

void RecordingDoor::sync_directory(const std::string& directory) {
    perform({.kind = ChangeKind::sync_directory, .path = relative(directory, true)},
            [&] { real_.sync_directory(directory); });
}

std::uint64_t RecordingDoor::free_space(const std::string& path) {
    return real_.free_space(path);
}

} // namespace disktool::test
