// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image/opener.h"

#include "image/backing_gate.h"

#include <disktool/error.h>
#include <disktool/log.h>

#include <fmt/format.h>

#include <algorithm>

namespace disktool {
namespace {

constexpr std::size_t longest_chain = 200;
constexpr std::size_t head_size = 4096;

} // namespace

std::vector<std::byte> read_head(File& file) {
    std::vector<std::byte> head(head_size);
    head.resize(file.read_some(0, head));
    return head;
}

void VisitedFiles::add(File& file) {
    const FileStatus status = file.status();
    if (std::any_of(files_.begin(), files_.end(),
                    [&](const FileStatus& other) { return other.same_file(status); })) {
        throw Error(ErrorCode::damaged,
                    fmt::format("{} comes twice in the backing chain, so the chain has no end", file.path()),
                    Reason::backing_loop);
    }
    if (files_.size() == longest_chain) {
        throw Error(
            ErrorCode::damaged,
            fmt::format("the backing chain is more than {} images long at {}", longest_chain, file.path()),
            Reason::backing_loop);
    }
    files_.push_back(status);
}

Session::Opener::Opener(Session& session)
    : session_(session), access_(session.access_), visited_(std::make_shared<VisitedFiles>()),
      file_(*session.file_), name_(session.linked_from_) {
    visited_->add(file_);
}

Session::Opener::Opener(Session& session, std::shared_ptr<VisitedFiles> visited, std::unique_ptr<File> file,
                        std::string name)
    : session_(session), access_(session.chain_access()), visited_(std::move(visited)),
      own_file_(std::move(file)), file_(*own_file_), name_(std::move(name)) {
    visited_->add(file_); // before the lock: a loop would wait for itself
    own_lock_ = std::make_unique<ImageLock>(file_, access_, session.options_.wait, session.options_.cancel);
    if (!own_lock_->writer_present()) {
        return;
    }
    const std::string writers = holders_text(own_lock_->writers());
    if (session.access_ == Access::write) {
        throw Error(ErrorCode::locked,
                    fmt::format("the backing file {} is being written to by another process: {}", file_.path(),
                                writers),
                    Reason::image_in_use);
    }
    log(LogLevel::warning,
        fmt::format("the backing file {} is being written to ({}): what is read of it may not "
                    "be consistent",
                    file_.path(), writers));
}

std::string Session::Opener::admit(const std::string& stored_name, const std::string& role) const {
    const BackingGate gate(session_.doors_.files, directory_of(session_.path_),
                           session_.options_.allow_backing);
    std::string path = gate.admit(stored_name, file_.path(), role);
    refuse_ambiguous_name(stored_name, path);
    return path;
}

void Session::Opener::refuse_ambiguous_name(const std::string& stored_name, const std::string& admitted) const {
    // QEMU looks beside the link by which it was given the image, we beside the image. Where these are two
    // files, the guest may see another disk than we do.
    const std::string beside_link = path_beside(name_, stored_name);
    const std::optional<FileStatus> other = session_.doors_.files.status(beside_link);
    if (other && !other->same_file(session_.doors_.files.status(admitted).value())) {
        throw Error(
            ErrorCode::unsupported,
            fmt::format("{} is a link to {}, and beside both lies a file that the image may mean as its "
                        "backing or data file: {} and {}. Give the image by its own name",
                        name_, file_.path(), beside_link, admitted));
    }
}

FormatPlugin& Session::Opener::backing_plugin(File& backing, const std::string& format) {
    Registry& registry = session_.registry_;
    if (format.empty()) {
        // A guess, but only for reading, and the gate bounds what a wrong one could reach.
        return registry.format(registry.probe_format(read_head(backing), backing.path()).value_or("raw"));
    }
    try {
        return registry.format(format);
    } catch (const Error& error) {
        throw Error(error.code(),
                    fmt::format("{} names {} as a backing file of format \"{}\": {}", file_.path(),
                                backing.path(), format, error.what()),
                    Reason::format_not_supported);
    }
}

std::unique_ptr<Image> Session::Opener::open_backing(const std::string& stored_name,
                                                     const std::string& format) {
    const std::string path = admit(stored_name, "backing file");
    std::unique_ptr<Opener> opener(
        new Opener(session_, visited_,
                   session_.doors_.files.open(
                       path, {.write = session_.chain_access() == Access::write, .follow_links = false}),
                   path_beside(file_.path(), stored_name)));
    FormatPlugin& plugin = backing_plugin(opener->file(), format);
    return plugin.open(std::move(opener));
}

std::unique_ptr<File> Session::Opener::open_data_file(const std::string& stored_name) {
    const std::string path = admit(stored_name, "data file");
    std::unique_ptr<File> file =
        session_.doors_.files.open(path, {.write = access_ == Access::write, .follow_links = false});
    visited_->add(*file);
    ImageLock::take_until_closed(*file, access_, session_.options_.wait, session_.options_.cancel);
    return file;
}

} // namespace disktool
