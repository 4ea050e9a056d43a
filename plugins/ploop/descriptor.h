// SPDX-License-Identifier: LGPL-2.1-or-later
// DiskDescriptor.xml: which files make a ploop disk, and which snapshots it has.
#pragma once

#include "uuid.h"

#include <disktool/file.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace disktool::ploop {

/// Of `kept`: an entry that was not read from a file.
constexpr std::size_t not_kept = SIZE_MAX;

struct ImageEntry {
    Uuid uuid;
    /// The file is the disk's bytes as they are. Only a base can be that: a snapshot of a raw disk is a ploop1
    /// file, though its Type is Plain, too (text() writes the Type by the disk's mode).
    bool raw = false;
    std::string file{};          ///< as it is stored
    std::string path{};          ///< absolute, where the descriptor's folder is known
    std::size_t kept = not_kept; ///< which element it came from, so that what we do not know stays with it
};

struct SnapshotEntry {
    Uuid uuid;
    Uuid parent; ///< Uuid::none(): it is a base
    bool temporary = false;
    std::size_t kept = not_kept; ///< as above
};

enum class DiskMode { expanded, preallocated, raw };

/// What the file says. Unknown elements and attributes are kept and written again. Copies are cheap: the verbs
/// change a copy and store it.
class Descriptor {
  public:
    /// Throws PloopError(no_descriptor, not_found); PloopError(bad_descriptor, damaged) with "PATH: …" for what
    /// is not XML, has a DTD or entities, is larger than 1 MiB, or breaks a rule (required elements, sizes, one
    /// Storage, known parents, no cycle, at most 127 images in a chain, a top that exists and is not
    /// temporary). Names of image files are checked by resolve(), not here.
    static Descriptor load(FileDoor& files, const std::string& path);
    /// The same from bytes. `path` is for messages; `folder`, an absolute path, makes the paths of the images
    /// (empty: they stay as stored). Throws as load().
    static Descriptor parse(std::string_view text, const std::string& path, const std::string& folder);
    /// A new one with a single image. `image_file`: as it is to be stored. No folder is known.
    static Descriptor make(std::uint64_t disk_sectors, std::uint32_t cluster_sectors, DiskMode mode,
                           const std::string& image_file);
    Descriptor(const Descriptor&);
    Descriptor(Descriptor&&) noexcept;
    Descriptor& operator=(const Descriptor&);
    Descriptor& operator=(Descriptor&&) noexcept;
    ~Descriptor();

    /// Exactly as the original lays it out (docs/ploop-format.md).
    std::string text() const;
    /// text() to `path`, old or new at any moment: PATH.tmp, synced, renamed over, folder synced. Owner and
    /// mode of an existing file are kept. Throws PloopError(invalid_parameter) for what load() would find too
    /// large.
    void store(FileDoor& files, const std::string& path) const;

    std::uint64_t disk_sectors = 0;
    std::uint32_t cluster_sectors = 0;
    DiskMode mode = DiskMode::expanded;
    std::uint64_t cylinders = 0; ///< as stored
    std::uint32_t heads = 0;
    std::uint64_t sectors = 0;               ///< as stored; text() writes disk_sectors / (cylinders * heads)
    std::uint64_t largest_delta_sectors = 0; ///< Max_delta_size; 0: not there
    std::string key_id;                      ///< Encryption/KeyId; empty: not encrypted
    Uuid top;
    bool old_format = false; ///< TopGUID is not the fixed one; see modernise()
    std::vector<ImageEntry> images;
    std::vector<SnapshotEntry> snapshots;

    /// As the original's grow: Disk_size and End; Cylinders and Heads keep their values, Sectors follows.
    void set_size(std::uint64_t disk_sectors);
    const ImageEntry* image(const Uuid& uuid) const;
    const SnapshotEntry* snapshot(const Uuid& uuid) const;
    std::vector<Uuid> children(const Uuid& uuid) const;
    /// From the base up to `uuid`. Throws Error(damaged) for one that is not there.
    std::vector<Uuid> chain(const Uuid& uuid) const;
    /// `BASE.{random}`, base being the file of the first image.
    std::string new_file_name() const;

    /// What a verb that stores does first, as the original's grow: the top gets the fixed uuid. Changes nothing
    /// where it has it already.
    void modernise();

    // Changes of the snapshots, on this copy only; no file is touched. All throw PloopError: no_snapshot for an
    // unknown uuid (switch_to, merge: invalid_parameter, as the original), invalid_parameter for what cannot
    // be. `file` is stored relative to the descriptor's folder where it lies in it.
    /// The present top becomes `uuid`; a new top on `file`.
    void add_snapshot(const Uuid& uuid, const std::string& file, bool temporary = false);
    /// A new top on `file`, whose parent is `uuid`; the present top's entry goes, or stays under the name
    /// `keep_old_top_as`.
    void switch_to(const Uuid& uuid, const std::string& file, const std::optional<Uuid>& keep_old_top_as = {});
    /// `child` and its parent become one: the entry that stays has `child`'s uuid, the parent's parent, and
    /// `file`; all children of the two have it as parent. (See docs/ploop-format.md, "merge".)
    void merge(const Uuid& child, const std::string& file);
    /// A leaf goes; of the top, its parent becomes the new top under the fixed uuid.
    void remove_leaf(const Uuid& uuid);
    void set_temporary(const Uuid& uuid, bool temporary);

  private:
    Descriptor();
    friend class DescriptorReader;
    struct Kept; ///< the parsed document, for what we do not know
    void refuse_old_format() const;
    void refuse_taken(const Uuid& uuid) const;
    void add_entry(const Uuid& uuid, const Uuid& parent, const std::string& file);
    void erase_entry(const Uuid& uuid);
    ImageEntry& image_entry(const Uuid& uuid);
    SnapshotEntry& snapshot_entry(const Uuid& uuid);
    void set_file(ImageEntry& entry, const std::string& file) const;
    std::unique_ptr<Kept> kept_;
};

/// The absolute path of an image entry: relative names are of the descriptor's folder. A file outside of that
/// folder (links resolved; below it is inside) is Error(unsupported, backing_outside_gate) unless one of
/// `allowed` holds it. A file that is not there yet is judged by its folder; one that is no regular file is
/// Error(not_found).
std::string resolve(FileDoor& files, const std::string& descriptor_path, const ImageEntry& entry,
                    const std::vector<std::string>& allowed);
/// The same for a file that the user names, and no descriptor yet.
std::string resolve_given(FileDoor& files, const std::string& descriptor_path, const std::string& name,
                          const std::vector<std::string>& allowed);

} // namespace disktool::ploop
