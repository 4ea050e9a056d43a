// SPDX-License-Identifier: LGPL-2.1-or-later
#include "check.h"

#include "check_bat.h"
#include "check_header.h"
#include "check_sparse.h"
#include "extension.h"
#include "ploop_error.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

namespace disktool::ploop {

namespace {

/// A broken image may have more holes than anybody reads.
constexpr std::uint64_t most_holes_named = 100'000;

class ImageCheck {
  public:
    ImageCheck(File& file, const CheckOptions& options, const CheckWriter& writer,
               const std::function<std::unique_ptr<File>()>& writable)
        : file_(&file), options_(options), writer_(writer), writable_(writable) {}

    CheckResult run() {
        Exit exit = Exit::ok;
        try {
            exit = options_.raw ? check_raw() : check_ploop();
        } catch (...) {
            take_mark_back();
            throw;
        }
        if (exit == Exit::ok && !options_.allow_sparse) {
            std::function<File&()> fill;
            if (options_.fill_sparse && !options_.read_only) {
                fill = [this]() -> File& { return writable(); };
            }
            exit = check_holes(*file_, writer_, fill, result_);
        }
        result_.exit_code = static_cast<int>(exit);
        return result_;
    }

  private:
    const std::string& path() const { return file_->path(); }
    bool forced() const { return options_.force || options_.hard; }
    bool twice_is_wrong() const { return options_.thorough || options_.hard; }
    void out(const std::string& line) const { writer_.out(line); }
    void err(const std::string& line) const { writer_.err(line); }

    File& writable() {
        if (!opened_) {
            opened_ = writable_();
            file_ = opened_.get();
        }
        return *file_;
    }

    void write_header(const Header& header) {
        File& file = writable();
        file.write(0, header_bytes(header)); // within one sector: whole or not at all
        file.sync();
        result_.changed = true;
    }

    Exit check_raw() {
        if (is_cluster_size(options_.raw_cluster_sectors)) {
            return Exit::ok;
        }
        err(fmt::format(
            "The cluster size of the raw image {} must be given (-b): a power of two from {} to {} sectors",
            path(), smallest_cluster_sectors, largest_cluster_sectors));
        return Exit::invalid_parameter;
    }

    Exit check_ploop() {
        const FoundHeader found = find_header(*file_, options_.hard && !options_.read_only, writer_);
        result_.wrong_entries = found.wrong_entries;
        if (found.exit != Exit::ok) {
            return found.exit;
        }
        header_ = found.header;
        entries_ = found.entries;
        dirty_ = header_.is_in_use();
        if ((header_.flags & flag_converting) != 0) {
            err(fmt::format("Image {} is in the changing version state", path()));
            err("Mount the disk, or run any command that changes it: that finishes the change");
            return Exit::converting;
        }
        if (header_.in_use != 0 && header_.in_use != in_use_mark && header_.in_use != closed_mark_v21) {
            err(fmt::format("unknown in-use value {:#x} in image {}", header_.in_use, path()));
            result_.unknown_in_use = true;
            dirty_ = forced();
        }
        result_.was_dirty = dirty_;
        if (!dirty_ && !forced()) {
            if (!options_.silent) {
                out("Image is clean, check is skipped");
            }
            return Exit::ok;
        }
        if (!options_.read_only) {
            out("Reopen rw " + path());
        }
        // Who only asks about a dirty image gets it back as it was: somebody may be writing to it.
        may_change_ = !options_.read_only && (forced() || options_.drop_in_use);
        size_ = file_->status().size;
        if (size_ < header_.data_start() * header_.cluster_size()) {
            out("Short read index table");
            return Exit::read;
        }
        check_extension();
        return check_tables();
    }

    void check_extension() {
        if (!header_.has_extension()) {
            return;
        }
        try {
            extension_ = read_extension(*file_, header_);
        } catch (const Error& error) {
            if (error.code() != ErrorCode::damaged) {
                throw;
            }
            refuse_extension(error.what());
            return;
        }
        if (extension_->must_not_change && may_change_) {
            err(fmt::format(
                "Image {} has a format extension that forbids changes to who does not know all of it", path()));
            may_change_ = false;
        }
    }

    void refuse_extension(const std::string& why) {
        err(fmt::format("The format extension of image {} is not valid: {}", path(), why));
        extension_.reset();
        result_.wrong_extension = true;
    }

    Exit check_tables() {
        used_ = walk(file_, [&](const FaultyEntry& entry) {
            count(entry);
            return std::nullopt;
        });
        if (extension_) {
            const auto& clusters = extension_->clusters;
            const auto shared = std::ranges::find_if(clusters, [&](auto place) { return used_.used(place); });
            if (shared != clusters.end()) {
                refuse_extension(fmt::format("its cluster {} holds data of the disk", *shared));
            }
        }
        const bool fatal = judge();
        if (fatal_entries() + result_.out_of_range > 0) {
            treat_entries(!fatal && may_change_);
        }
        data_clusters_ = used_.count();
        if (keeps_extension()) {
            std::ranges::for_each(extension_->clusters, [&](auto place) { used_.add(place); });
        }
        name_holes();
        if (fatal) {
            err(fmt::format("Fatal errors were found, image {} is not repaired", path()));
            return Exit::fatal_check;
        }
        return finish(!may_change_ && result_.out_of_range > 0);
    }

    void count(const FaultyEntry& entry) {
        switch (entry.fault) {
        case BatFault::past_device:
            ++result_.out_of_range;
            break;
        case BatFault::misaligned:
            ++result_.misaligned;
            break;
        case BatFault::past_end:
            ++result_.behind_eof;
            break;
        case BatFault::in_tables:
            ++result_.in_tables;
            break;
        case BatFault::used_twice:
            ++result_.duplicates;
            break;
        }
    }
    /// Those whose guest cluster is lost.
    std::uint64_t lost_entries() const { return result_.misaligned + result_.behind_eof + result_.in_tables; }
    std::uint64_t fatal_entries() const { return lost_entries() + result_.duplicates; }

    bool keeps_extension() const { return extension_ && drop_reason_.empty(); }

    /// Is there something that stays wrong, so that nothing is changed? Also finds out what happens to the
    /// extension and where copies of clusters go.
    bool judge() {
        if (extension_ && lost_entries() > 0 && options_.hard && may_change_) {
            drop_reason_ = ", it does not know of the lost clusters";
        }
        next_place_ = std::max(used_.end(), header_.data_start());
        if (keeps_extension()) {
            next_place_ = extension_->unknown_parts ? divide_up(size_, header_.cluster_size())
                                                    : std::max(next_place_, extension_->clusters.back() + 1);
        }
        // Entries behind the end of a disk whose size contradicts them: nobody knows which of the two is wrong.
        if (result_.wrong_entries && result_.out_of_range > 0) {
            return true;
        }
        if (fatal_entries() == 0) {
            return false;
        }
        const std::uint64_t unit = header_.version == Version::v1 ? header_.cluster_sectors : 1;
        return !options_.hard || !may_change_ || result_.duplicates > UINT32_MAX ||
               next_place_ + result_.duplicates - 1 > UINT32_MAX / unit;
    }

    /// Goes through the BAT again, now with words and, where that is allowed, deeds.
    void treat_entries(bool mend) {
        if (mend && !header_.is_in_use()) {
            // Who finds the mark knows that a repair was not finished. Nothing else is marked: a header is
            // replaced at one instant, and an image that loses its tail is sound before and after.
            Header marked = header_;
            marked.in_use = in_use_mark;
            marked_ = true;
            write_header(marked);
        }
        PlaceMap used = walk(mend ? &writable() : file_, [&](const FaultyEntry& entry) {
            out(text_of(entry));
            const bool leaves = entry.fault == BatFault::past_device && !result_.wrong_entries;
            out(mend ? "Fixed" : leaves ? "Skipped" : "FATAL");
            const bool empty = mend && entry.fault != BatFault::used_twice;
            result_.changed |= empty;
            return empty ? std::optional<std::uint32_t>(0) : std::nullopt;
        });
        if (mend && result_.duplicates > 0) {
            // Not before the entries behind the end of the file are gone: it grows now, and they would name
            // copies.
            const std::uint64_t first = next_place_;
            if (const std::uint64_t start = first * header_.cluster_size(); start > size_) {
                write_zeros(writable(), {size_, start - size_}); // no hole between
            }
            walk(&writable(), [&](const FaultyEntry& entry) { return std::optional(copy(entry.cluster)); });
            for (std::uint64_t place = first; place < next_place_; ++place) {
                used.add(place);
            }
            size_ = file_->status().size;
            result_.changed = true;
        }
        used_ = std::move(used);
    }

    PlaceMap walk(File* file, const JudgeEntry& judge_entry) const {
        return walk_bat(*file, header_, entries_, size_, [&](const FaultyEntry& entry) {
            const bool wrong = entry.fault != BatFault::used_twice || twice_is_wrong();
            return wrong ? judge_entry(entry) : std::nullopt;
        });
    }

    /// Nobody knows whose the content is. Each has it, and from now on changes only its own.
    std::uint32_t copy(std::uint64_t cluster) {
        const std::uint64_t size = header_.cluster_size();
        std::vector<std::byte> buffer(std::min(size, MiB));
        for (std::uint64_t done = 0; done < size; done += buffer.size()) {
            file_->read(cluster * size + done, buffer);
            file_->write(next_place_ * size + done, buffer);
        }
        return offset_entry(header_, next_place_++ * size);
    }

    void name_holes() {
        const std::uint64_t first = header_.data_start();
        result_.holes = used_.end() <= first ? 0 : used_.end() - first - used_.count();
        if (!options_.thorough) {
            return;
        }
        std::uint64_t named = 0;
        for (auto hole = used_.next_hole(first); hole; hole = used_.next_hole(*hole + 1)) {
            if (named == most_holes_named) {
                out(fmt::format("And {} more holes", result_.holes - named));
                return;
            }
            out(fmt::format("Hole at block {}", *hole));
            ++named;
        }
    }

    Exit finish(bool skipped) {
        const bool keep = keeps_extension();
        const std::uint64_t end = std::max(used_.end(), header_.data_start()) * header_.cluster_size();
        // The tail may be a part of the extension that we do not know.
        result_.tail_bytes = (keep && extension_->unknown_parts) || size_ < end ? 0 : size_ - end;
        const bool trim = result_.tail_bytes > 0 && may_change_;
        if (trim) {
            out("Trimming tail");
        } else if (result_.tail_bytes > 0) {
            err("Want to trim tail");
        }
        if (dirty_) {
            err("Dirty flag is set");
            if (!options_.drop_in_use) {
                cut(trim, end);
                return Exit::dirty;
            }
        }
        Header sound = header_;
        sound.entries = static_cast<std::uint32_t>(entries_);
        sound.flags = data_clusters_ == 0 ? header_.flags | flag_empty : header_.flags & ~flag_empty;
        if (sound.flags != header_.flags) {
            result_.wrong_empty_flag = true;
            err("CIF_Empty flag is incorrect");
        }
        if (skipped) {
            return Exit::fatal_check;
        }
        const bool drop = !keep && header_.has_extension();
        const bool wrong = dirty_ || marked_ || drop || !(sound == header_);
        if (wrong && !may_change_) {
            err("Image is clean but unable to fix the header on ro image");
            return Exit::check_header;
        }
        if (drop) {
            out("Dropping the format extension" + drop_reason_);
            result_.extension_dropped = true;
        }
        if (!keep) {
            // Only "v2.1" makes it mean something; QEMU believes it always.
            sound.extension_sector = wrong ? 0 : header_.extension_sector;
            if (dirty_ || drop) {
                sound.in_use = 0;
            }
        }
        // The header first where the tail is what it points to; but a mark goes last.
        const bool marked = marked_ || header_.is_in_use();
        cut(trim && marked, end);
        if (wrong) {
            write_header(sound);
            marked_ = false;
        }
        cut(trim && !marked, end);
        return Exit::ok;
    }

    void cut(bool wanted, std::uint64_t end) {
        if (!wanted) {
            return;
        }
        File& file = writable();
        file.truncate(end);
        file.sync();
        result_.changed = true;
    }

    /// The host has failed us. An image that was not dirty is none now: each piece of the repair is whole. Its
    /// extension is not put back, since guest clusters may be gone from under it.
    void take_mark_back() noexcept {
        if (!marked_) {
            return;
        }
        try {
            writable().sync();
            Header header = header_;
            header.in_use = 0;
            header.extension_sector = 0;
            write_header(header);
        } catch (const std::exception&) {
            // The mark stays, as after a crash.
        }
    }

    File* file_; ///< the one opened for writing, once there is one
    const CheckOptions& options_;
    const CheckWriter& writer_;
    const std::function<std::unique_ptr<File>()>& writable_;
    std::unique_ptr<File> opened_;
    CheckResult result_;

    Header header_;
    std::uint64_t entries_ = 0; ///< of the BAT, by the disk's size
    std::uint64_t size_ = 0;    ///< of the file
    bool dirty_ = false;
    bool may_change_ = false;
    bool marked_ = false; ///< by us
    std::optional<FormatExtension> extension_;
    std::string drop_reason_; ///< why a valid extension must go
    PlaceMap used_;
    std::uint64_t data_clusters_ = 0; ///< in use
    std::uint64_t next_place_ = 0;    ///< for copies
};

} // namespace

CheckResult check_image(File& file, const CheckOptions& options, const CheckWriter& writer,
                        const std::function<std::unique_ptr<File>()>& writable) {
    return ImageCheck(file, options, writer, writable).run();
}

} // namespace disktool::ploop
