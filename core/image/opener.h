// SPDX-License-Identifier: LGPL-2.1-or-later
// What a format plugin gets to open an image of a session's chain.
#pragma once

#include "image/session.h"

#include <memory>
#include <string>
#include <vector>

namespace disktool {

/// The files of a backing chain that are open, to notice one that comes twice and one without an end.
class VisitedFiles {
  public:
    /// Throws Error(damaged, backing_loop).
    void add(File& file);

  private:
    std::vector<FileStatus> files_;
};

/// Refers to its session, which outlives it. Owned by the plugin's image.
class Session::Opener final : public ImageOpener {
  public:
    /// For the top image: file and lock are the session's.
    explicit Opener(Session& session);

    Doors doors() override { return session_.doors_; }
    Access access() const override { return access_; }
    File& file() override { return file_; }
    std::unique_ptr<Image> open_backing(const std::string& stored_name, const std::string& format) override;
    std::unique_ptr<File> open_data_file(const std::string& stored_name) override;

  private:
    /// For a backing image: `name` is how the image above it reaches it.
    Opener(Session& session, std::shared_ptr<VisitedFiles> visited, std::unique_ptr<File> file,
           std::string name);
    std::string admit(const std::string& stored_name, const std::string& role) const;
    void refuse_ambiguous_name(const std::string& stored_name, const std::string& admitted) const;
    FormatPlugin& backing_plugin(File& backing, const std::string& format);

    Session& session_;
    Access access_;
    std::shared_ptr<VisitedFiles> visited_; ///< one for the whole chain
    std::unique_ptr<File> own_file_;        ///< of a backing image; before its lock, which refers to it
    std::unique_ptr<ImageLock> own_lock_;
    File& file_;
    std::string name_; ///< of the file as it was named, perhaps by a link
};

/// The start of the file, by which a format is recognised: up to 4 KiB.
std::vector<std::byte> read_head(File& file);

} // namespace disktool
