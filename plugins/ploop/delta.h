// SPDX-License-Identifier: LGPL-2.1-or-later
// One image file of a ploop disk, and the engine that reads and writes it.
#pragma once

#include "bat.h"
#include "header.h"
#include "place_map.h"

#include <disktool/file.h>
#include <disktool/format.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace disktool::ploop {

struct NewDelta {
    std::uint64_t disk_sectors = 0; ///< a multiple of the cluster
    std::uint32_t cluster_sectors = default_cluster_sectors;
    Version version = Version::v2;
    bool preallocated = false; ///< every cluster allocated, its host blocks reserved
};

/// How many of these places, from that index on, lie one behind the other: at least 1.
std::size_t neighbours(std::span<const std::uint64_t> places, std::size_t index);

/// A delta of a chain: a ploop1 file, or a raw one (the disk's bytes as they are; only a base can be that).
///
/// The BAT is kept in memory. An entry is believed only when its cluster lies wholly in the file, behind the
/// BAT, aligned, and is not claimed by an entry before it: anything else makes open() throw Error(damaged), and
/// `ploop check` is the way out. So nothing is ever read or written outside of the image's own clusters.
///
/// Writing keeps the order of the format: data is synced before the BAT entry that points to it. New places are
/// holes of the file first (lowest first), then its end. Changes of the BAT gather in memory until flush() or
/// `end()`; the order is: data written → fdatasync → BAT sectors written → fdatasync → only then clusters that
/// were freed are used again or cut off. So after a crash the file holds, for each cluster, the state of the
/// last flush() or a later one.
///
/// A format extension (dirty bitmaps; header().has_extension()) lies in clusters that the BAT does not know.
/// From its own cluster to the end of the file nothing counts as a hole while it is valid. begin() leaves its
/// place in the header; the in-use mark alone makes it invalid after a crash. end() makes it valid again if
/// nothing was changed. A change of any kind means that it is not right any more: it goes from the header
/// (before the first cluster is placed, freed or moved; after overwriting only, at end()), and its clusters are
/// holes like others.
///
/// A sync that fails makes the delta useless for writing: what was written before may be lost and no later
/// sync would tell. flush() and end() throw from then on, and the in-use mark stays.
///
/// Owns its file. Threads: read(), place(), run(), look() and overwrite() from many at once, also beside one
/// that calls allocate(), flush() or end(). Everything else alone, and no two of allocate(), free() and flush()
/// at once (the caller locks); but store_gathered() may run beside allocate() and free(). Errors: SystemError,
/// Error(no_space), Error(damaged); size_impossible for a size that cannot be.
class Delta {
  public:
    /// Reads header and BAT. Access::write needs a file opened for that. A file that is in use (dirty) is
    /// refused with Error(damaged, Reason::image_dirty) unless `dirty_too`.
    static std::unique_ptr<Delta> open(std::unique_ptr<File> file, Access access, bool dirty_too = false);
    static std::unique_ptr<Delta> open_raw(std::unique_ptr<File> file, Access access,
                                           std::uint32_t cluster_sectors);
    /// Writes an empty image into an empty file, synced (the file; not its folder).
    static void create(File& file, const NewDelta& request);
    ~Delta();

    bool raw() const { return raw_; }
    File& file() const { return *file_; }
    const std::string& path() const { return file_->path(); }
    /// Of a raw one: what a header would say; version and in_use mean nothing.
    const Header& header() const { return header_; }
    std::uint64_t cluster_size() const { return header_.cluster_size(); }
    std::uint64_t disk_size() const { return header_.disk_size(); }
    std::uint64_t clusters() const { return header_.entries; } ///< of the disk

    /// Where the guest cluster lies in the file, in bytes; none: not here (shows through from below, or zeros).
    /// A raw delta has every cluster, at its own offset.
    std::optional<std::uint64_t> place(std::uint64_t cluster) const;
    /// How many guest clusters from this one on lie one behind the other in the file (or are all not here), at
    /// most `limit`, at least 1.
    std::uint64_t run(std::uint64_t cluster, std::uint64_t limit) const;
    /// place() and run() at once: while another thread allocates, only this one is of one moment.
    struct Run {
        std::optional<std::uint64_t> offset; ///< in the file; none: not here
        std::uint64_t clusters;              ///< at least 1
    };
    Run look(std::uint64_t cluster, std::uint64_t limit) const;
    std::uint64_t allocated_clusters() const { return allocated_; }

    /// Guest bytes of clusters that are all allocated here: the caller asks first. What lies behind the end of
    /// a raw file reads as zeros.
    void read(std::uint64_t offset, std::span<std::byte> buffer) const;
    /// The same at an offset of the file, within what look() told.
    void read_at(std::uint64_t file_offset, std::span<std::byte> buffer) const;

    // Changes. begin() first: the in-use mark is on the file, synced, before anything else changes. It stays
    // until end() (a destroyed Delta that was not ended leaves it, as a crash would).
    void begin();
    /// Into clusters that are all allocated here.
    void overwrite(std::uint64_t offset, std::span<const std::byte> data);
    /// The same at an offset of the file, within what look() told.
    void write_at(std::uint64_t file_offset, std::span<const std::byte> data);
    /// The same by the caller himself: where to, if File::Direct::writes; throws what write_at() would. Then
    /// what he has written, or has tried to.
    File::Direct write_beside();
    void written_at(std::uint64_t file_offset, std::uint64_t length) noexcept;
    /// Zeros into clusters that are all allocated here.
    void overwrite_zeros(std::uint64_t offset, std::uint64_t length);
    /// Gives `cluster`, and those after it, places and writes `data` (whole clusters) to them. Of a cluster
    /// that is allocated already: std::logic_error. All or nothing.
    void allocate(std::uint64_t cluster, std::span<const std::byte> data);
    // The same in parts, for clusters that several threads write at once: only fill() may run beside the
    // others, and beside itself. Between the first and the last nobody else knows of the places.
    struct Placement {
        std::uint64_t cluster = 0; ///< the first one
        std::vector<std::uint64_t> places{};
    };
    Placement place_new(std::uint64_t cluster, std::uint64_t count);
    void fill(const Placement& placement, std::span<const std::byte> data);
    void refer(const Placement& placement);
    void give_up(const Placement& placement) { give_back(placement.places); }
    /// From now until end() the file is made longer by so many bytes at a time, before they are needed: a write
    /// that makes a file longer holds every other one up.
    void grow_file_by(std::uint64_t bytes);
    /// As allocate(), of bytes of `source` from `from` on by File::share_range(). False: the host cannot,
    /// nothing has changed.
    bool allocate_from(std::uint64_t cluster, File& source, std::uint64_t from, std::uint64_t count = 1);
    /// The same into clusters that are all allocated here. False: the host cannot; what they hold is unknown
    /// until they are overwritten.
    bool overwrite_from(std::uint64_t cluster, File& source, std::uint64_t from, std::uint64_t count = 1);
    /// The clusters are not here any more: reads fall through. Their places are used again after the next
    /// flush(). In a raw delta they become holes of the file.
    void free(std::uint64_t cluster, std::uint64_t count = 1);
    /// Data, then BAT, on stable storage.
    void flush();
    // The same in three parts, for a disk that is in use. Of the BAT the second one writes what it was at the
    // first: what was changed since waits for the next flush, since its data may not be on stable storage.
    void gather();
    void store_gathered(); ///< takes as long as the host's disk does
    void settle();         ///< after it; places that were freed before gather() may be used again
    void take_back();      ///< instead of settle(), where store_gathered() has failed
    /// A larger disk: more entries; data clusters in the way of a longer BAT are moved to the end before, each
    /// safely. `disk_sectors`: a multiple of the cluster. Flushed when it returns.
    void grow(std::uint64_t disk_sectors);
    // What can be done of it before, while the disk is in use.
    /// From now on no cluster is placed where the BAT of such a disk will lie. At most `most` of those that lie
    /// there are moved (as by move_down(): flush() makes it last); returns how many. 0 sectors: the disk does
    /// not grow after all.
    std::uint64_t make_way(std::uint64_t disk_sectors, std::uint64_t most);
    /// When nothing is left there and a flush has come after it. May run beside allocate().
    void clear_way(std::uint64_t disk_sectors);
    /// A smaller disk: clusters behind the new end are freed, entries cut, header rewritten. The data area
    /// begins where it did (a file with a longer BAT than it needs is legal). Flushed when it returns.
    void shrink(std::uint64_t disk_sectors);
    /// Moves tail clusters into holes (copied → flushed → referenced → flushed → freed), then cuts the file
    /// behind the last used one. `limit`: at most so many moves. Returns bytes cut off.
    std::uint64_t compact(std::uint64_t limit = UINT64_MAX);
    // The same in parts, for a disk that is in use; flush() before the first and after the second, which alone
    // makes room of the places that were left.
    struct Move {
        std::uint64_t from, cluster; ///< place in the file, and which guest cluster lies there
    };
    /// The last `most` clusters of the tail that fit into holes before it.
    std::vector<Move> tail(std::uint64_t most);
    /// Copies those that are where they were to holes before them, and has the BAT in memory refer to the
    /// copies. Returns how many.
    std::uint64_t move_down(std::span<const Move> moves);
    /// Cuts the file behind the last used place. Returns bytes cut off.
    std::uint64_t cut_tail();
    /// Is there anything behind the last used place?
    bool has_tail() const;
    /// Unused places below the last used one, by file cluster number. A copy: 40 bytes and more for each.
    std::set<std::uint64_t> holes() const;
    std::uint64_t hole_count() const;
    /// Header, BAT and data, up to the last used; with a valid extension, up to the end of the file.
    std::uint64_t file_clusters() const;
    /// flush(), what is unused at the end of the file cut off (when something was changed), the empty flag set
    /// right, in-use mark off, synced.
    void end();
    bool begun() const { return begun_; }
    /// Somebody else writes to its clusters, where they are.
    void expect_changes() { change_layout(); }

  private:
    Delta(std::unique_ptr<File> file, Access access);
    void load();
    std::uint64_t place_number(std::uint32_t entry) const;
    static std::uint64_t place_limit(const Header& header);
    void must_be_begun() const;
    void may_be_written();
    void sync();
    void write_header(const Header& next);
    void set_header(const Header& next);
    void change_layout();
    std::uint64_t take_place();
    std::vector<std::uint64_t> take_places(std::uint64_t count);
    void give_back(const std::vector<std::uint64_t>& places);
    void write_places(const std::vector<std::uint64_t>& places, std::span<const std::byte> data);
    bool share_into(const std::vector<std::uint64_t>& places, File& source, std::uint64_t from);
    void refer(std::uint64_t cluster, std::uint64_t place);
    void make_room(const std::vector<std::uint64_t>& places);
    void write_zeros(std::uint64_t from, std::uint64_t to);
    void copy_places(std::uint64_t from, std::uint64_t to, std::uint64_t count);
    std::vector<Move> moves_from(std::uint64_t from, std::uint64_t to) const;
    void move(std::span<const Move> moves);
    void move_out_of_table(std::uint64_t data_start);
    std::uint64_t data_start_of(std::uint64_t disk_sectors) const;
    void clear_table(std::uint64_t data_start);
    void clear_last_part();
    void set_size(std::uint64_t disk_sectors, std::uint64_t data_start);
    void check_size(std::uint64_t disk_sectors) const;
    std::uint64_t cut();

    std::unique_ptr<File> file_;
    const Access access_;
    bool raw_ = false;
    std::atomic<bool> begun_ = false;
    std::atomic<bool> lost_ = false; ///< a sync has failed
    bool host_copies_ = true;
    std::uint64_t file_step_ = 0; ///< see grow_file_by()
    std::uint64_t file_end_ = 0;  ///< with it: bytes that the file has
    Header header_;               ///< as it is on disk
    Bat bat_;
    PlaceMap places_;                     ///< used ones, and those in freed_
    std::vector<std::uint64_t> freed_;    ///< not referred to in memory, but perhaps on disk
    BatChanges gathered_;                 ///< between gather() and settle()
    std::vector<std::uint64_t> settling_; ///< of freed_, those from before gather()
    PageBuffer copied_;
    std::atomic<std::uint64_t> allocated_ = 0; ///< entries that are not zero
    std::uint64_t extension_at_ = 0;           ///< its place while it is valid; 0: there is none
    std::atomic<bool> unsynced_ = false;       ///< data was written since the last sync
    std::uint64_t way_cleared_ = 0;            ///< for a disk of so many sectors; 0: none
    std::atomic<bool> changed_ = false;        ///< since begin()
};

} // namespace disktool::ploop
