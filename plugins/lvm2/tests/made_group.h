// SPDX-License-Identifier: LGPL-2.1-or-later
// Real physical volumes for the tests, made by lvm on loop devices (it needs no device-mapper for that).
#pragma once

#include "lvm2_plugin.h"
#include "support/file_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/devices.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace disktool::lvm2::test {

/// Loop devices on files of one folder; detached with this object.
class MadeGroup {
  public:
    /// One device of each size, in bytes; the file's `before` bytes in front of it are no part of it.
    explicit MadeGroup(std::vector<std::uint64_t> sizes, std::uint64_t before = 0);
    MadeGroup(const MadeGroup&) = delete;
    MadeGroup& operator=(const MadeGroup&) = delete;
    ~MadeGroup();

    /// The file behind the first (or another) device.
    std::string path(std::size_t number = 0) const;
    const std::string& loop(std::size_t number = 0) const { return loops_.at(number); }
    std::string beside(const std::string& name) const { return folder_ / name; }

    /// Runs `lvm WORDS` on these devices only; "@" stands for the first device, "@1" for the second.
    /// Standard output; throws when it fails.
    std::string lvm(const std::string& words);
    bool lvm_takes(const std::string& words);
    /// `pvcreate` with these options, then `vgcreate vg` with those.
    void create(const std::string& physical = "", const std::string& group = "-s 1M");
    /// A linear volume of so many extents.
    void volume(const std::string& name, int extents);
    /// One field of a report: ("pvs", "pe_start").
    std::string field(const std::string& command, const std::string& name);
    /// The metadata as text, changed, and written back by vgcfgrestore.
    void edit(const std::function<void(std::string&)>& change);
    /// Puts a `logical_volumes` section with this text in it in place of the present one.
    void replace_volumes(const std::string& text);

  private:
    std::vector<std::string> command(const std::string& words) const;
    void detach();

    disktool::test::TemporaryFolder folder_;
    std::vector<std::string> loops_;
};

/// A part of the file as a device, and the volumes on it.
struct Opened {
    explicit Opened(const std::string& path, Access access = Access::read)
        : device(path, access), volumes(Plugin().open(device)) {}
    disktool::test::FileDevice device;
    std::unique_ptr<Volumes> volumes;
    Volumes* operator->() const { return volumes.get(); }
    const Volume& operator[](const std::string& name) const;
};

/// Text for replace_volumes. Areas: pairs as LVM writes them: `"pv0", 3`.
std::string segment_text(int number, int first, int count, const std::string& rest);
std::string striped_text(const std::string& areas, int stripes = 1, int stripe_sectors = 0);
std::string volume_text(const std::string& name, const std::vector<std::string>& segments,
                        const std::string& status = R"("READ", "WRITE", "VISIBLE")",
                        const std::string& flags = "");

} // namespace disktool::lvm2::test
