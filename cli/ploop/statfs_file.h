// SPDX-License-Identifier: LGPL-2.1-or-later
// .statfs beside the base image: how full the file system was when the disk was unmounted.
#pragma once

#include "filesystem_figures.h"

#include <disktool/file.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace disktool::ploop::cli {

std::string statfs_path(const std::string& base_image);
/// What such a file holds; none for what cannot be that.
std::optional<FilesystemFigures> parse_statfs(std::span<const std::byte> bytes);
std::vector<std::byte> statfs_bytes(const FilesystemFigures& figures);

/// Of what is mounted there. Throws SystemError.
FilesystemFigures figures_of_mount(const std::string& folder);

/// Old or new at any moment. Throws SystemError.
void store_statfs(FileDoor& files, const std::string& base_image, const FilesystemFigures& figures);
/// What it says will not be true any longer. None there: does nothing.
void remove_statfs(FileDoor& files, const std::string& base_image);

} // namespace disktool::ploop::cli
