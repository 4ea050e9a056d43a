// SPDX-License-Identifier: LGPL-2.1-or-later
// Which files an image may make us open. Names inside of images come from customers: one could name /etc/shadow
// or another customer's disk.
#pragma once

#include <disktool/file.h>

#include <optional>
#include <string>
#include <vector>

namespace disktool {

/// Lets through plain files in the folder of the image that the user named, and in or below the folders that
/// the user allows. Threads: any.
class BackingGate {
  public:
    /// `own_folder` is a real path; an allowed folder that is not there allows nothing.
    BackingGate(FileDoor& files, std::string own_folder, const std::vector<std::string>& allowed);

    /// The real path of the file that the image at `named_by` (a real path) means by `stored_name`. `role` is
    /// what the image calls it: "backing file". Throws with Reason backing_protocol, backing_missing or
    /// backing_outside_gate, and for what is not a regular file.
    std::string admit(const std::string& stored_name, const std::string& named_by,
                      const std::string& role) const;

  private:
    bool allows(const std::string& real_path) const;
    FileDoor& files_;
    std::string own_folder_;
    std::vector<std::string> allowed_; ///< real paths
};

/// The path that an image at `image_path` means by a name: relative ones count from the image's folder.
std::string path_beside(const std::string& image_path, const std::string& stored_name);

/// Why `path` cannot be an image file: missing, a directory, ... (follows links). None: it is a regular file.
std::optional<std::string> why_not_a_file(FileDoor& files, const std::string& path);

} // namespace disktool
