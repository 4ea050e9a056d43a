// SPDX-License-Identifier: GPL-2.0-or-later
// libntfs-3g, asked the same questions as the plugin.
#include "made_ntfs.h"

#include <disktool/size.h>

#include <sys/stat.h>

#include <cstdlib>
#include <stdexcept>
#include <utility>
#include <vector>

// Its headers are C with zero-length arrays and casts that our warnings refuse.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wcast-align"
extern "C" {
#include <ntfs-3g/attrib.h>
#include <ntfs-3g/inode.h>
#include <ntfs-3g/logfile.h>
#include <ntfs-3g/logging.h>
#include <ntfs-3g/volume.h>
}
#pragma GCC diagnostic pop

namespace disktool::ntfs::test {

namespace {

class LibraryVolume {
  public:
    LibraryVolume(const std::string& image, ntfs_mount_flags flags) {
        ntfs_log_set_handler(ntfs_log_handler_null);
        volume_ = ntfs_mount(image.c_str(), flags);
        if (volume_ == nullptr)
            throw std::runtime_error("libntfs-3g does not open " + image);
    }
    LibraryVolume(const LibraryVolume&) = delete;
    LibraryVolume& operator=(const LibraryVolume&) = delete;
    ~LibraryVolume() { ntfs_umount(volume_, FALSE); }
    ntfs_volume* get() const { return volume_; }

  private:
    ntfs_volume* volume_;
};

ExtentSet free_clusters(ntfs_volume* volume) {
    const auto clusters = static_cast<std::uint64_t>(volume->nr_clusters);
    std::vector<unsigned char> bits(divide_up(clusters, 8));
    if (ntfs_attr_pread(volume->lcnbmp_na, 0, static_cast<s64>(bits.size()), bits.data()) !=
        static_cast<s64>(bits.size()))
        throw std::runtime_error("libntfs-3g does not read $Bitmap");
    ExtentSet free;
    const std::uint64_t cluster = volume->cluster_size;
    for (std::uint64_t i = 0; i < clusters;) {
        if (i % 8 == 0 && (bits[i / 8] == 0xff || (bits[i / 8] == 0 && i + 8 <= clusters))) {
            if (bits[i / 8] == 0)
                free.append({i * cluster, 8 * cluster});
            i += 8;
            continue;
        }
        if ((bits[i / 8] >> (i % 8) & 1) == 0)
            free.append({i * cluster, cluster});
        ++i;
    }
    return free;
}

bool journal_is_clean(ntfs_volume* volume) {
    ntfs_inode* inode = ntfs_inode_open(volume, FILE_LogFile);
    ntfs_attr* attribute = ntfs_attr_open(inode, AT_DATA, AT_UNNAMED, 0);
    RESTART_PAGE_HEADER* page = nullptr;
    const bool clean = ntfs_check_logfile(attribute, &page) && ntfs_is_logfile_clean(attribute, page) &&
                       (page == nullptr || page->major_ver != 2);
    std::free(page);
    ntfs_attr_close(attribute);
    ntfs_inode_close(inode);
    return clean;
}

} // namespace

Oracle::Oracle(const std::string& image) {
    const LibraryVolume volume(image, NTFS_MNT_RDONLY);
    free = free_clusters(volume.get());
    hibernated = ntfs_volume_check_hiberfile(volume.get(), 0) != 0;
    journal_clean = journal_is_clean(volume.get());
}

void set_volume_flags(const std::string& image, std::uint16_t flags) {
    const LibraryVolume volume(image, 0);
    if (ntfs_volume_write_flags(volume.get(), static_cast<VOLUME_FLAGS>(flags)) != 0)
        throw std::runtime_error("libntfs-3g does not set the volume's flags");
}

} // namespace disktool::ntfs::test
