// SPDX-License-Identifier: LGPL-2.1-or-later
// The one write that makes an image's new state its own.
#pragma once

#include "header.h"
#include "in_place.h"

#include <disktool/file.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace disktool::qcow2 {

/// What the header says of the new state. Offsets in bytes of the file.
struct HeaderChange {
    struct L1 {
        std::uint64_t offset = 0;
        std::uint32_t entries = 0;
    };
    std::uint64_t size = 0;                         ///< of the disk, bytes
    std::optional<L1> l1;                           ///< none: the table stays
    Range refcount_table;                           ///< empty: it stays
    bool drop_snapshots = false;                    ///< there are none any more
    bool drop_backing = false;                      ///< there is no backing file any more
    std::optional<BitmapDirectoryLocation> bitmaps; ///< none: it stays
};

/// Makes the first sector anew so that all of a change is in it. Header extensions that have to change move
/// into it; for these the table of feature names, which only informs, makes room and is put back afterwards.
/// Everything that lies behind the first sector keeps its bytes until the switch is done. Refers to the file.
class HeaderSwitch {
  public:
    /// Throws unsupported where an extension would have to lie behind the first sector, naming it.
    HeaderSwitch(File& file, const Header& header, const HeaderChange& change);

    /// Nothing would change.
    bool empty() const { return before_ == after_; }
    /// Synced. When it throws, the old header is back on stable storage, unless undecided().
    void perform();
    /// The write failed and so did the attempt to take it back: either header may be there.
    bool undecided() const { return undecided_; }
    /// Puts the table of feature names back, in two more writes; the image is valid after each.
    void restore_feature_names();

    /// Why a change of that sort would be refused; empty: it would not.
    static std::string obstacle(File& file, const Header& header, bool drop_backing, bool move_bitmaps);

  private:
    using Sector = std::array<std::byte, HeaderSector::size>;
    void rebuild_extensions(const HeaderChange& change);
    void put_bitmaps(const BitmapDirectoryLocation& place, std::span<std::byte> data) const;
    std::vector<std::byte> extension(std::uint32_t type, std::span<const std::byte> data) const;
    std::uint64_t list_end() const;

    File& file_;
    const Header header_;
    std::vector<std::byte> area_; ///< the first cluster as it was
    Sector before_{};
    Sector after_{};
    std::uint64_t backing_offset_ = 0;     ///< of the name that stays; 0: none
    std::vector<std::byte> list_;          ///< new extensions without end; empty: they stay as they are
    std::vector<std::byte> feature_names_; ///< the extension that had to go
    bool undecided_ = false;
};

} // namespace disktool::qcow2
