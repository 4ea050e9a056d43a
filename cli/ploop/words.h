// SPDX-License-Identifier: LGPL-2.1-or-later
// Single words of a command line: sizes, numbers, uuids, formats, operands. Read as the original reads them,
// down to what strtoul(3) lets pass, since scripts have come to rely on it.
#pragma once

#include "descriptor.h"
#include "header.h"
#include "uuid.h"

#include <disktool/file.h>

#include <cstdint>
#include <optional>
#include <string>

namespace disktool::ploop::cli {

/// Sectors. A number as in C (0x.., 0..), then nothing or one of K, M, G, T in either case; without one:
/// sectors. `option` is for the message. Throws UsageError: "ERROR: Invalid argument for option -s: X", "ERROR:
/// Too large value ...".
std::uint64_t parse_size(const std::string& option, const std::string& text);

/// A value that must not be empty, as that of a shell variable that is not set: "-m", "the folder to mount in".
/// Throws ParameterError.
std::string parse_name(const std::string& option, const std::string& what, const std::string& value);

/// A number as in C, with nothing behind it. Throws UsageError.
std::uint32_t parse_number(const std::string& option, const std::string& text);

/// The number of an open file of this process. Throws UsageError.
int parse_file_number(const std::string& option, const std::string& text);

/// Throws ParameterError: "Incorrect uuid specified: X".
Uuid parse_uuid(const std::string& text);
/// Of a change bitmap: 8-4-4-4-12 without braces. Throws the same.
std::string parse_plain_uuid(const std::string& text);

/// raw, ploop1 or expanded, preallocated. Throws UsageError: "Bad -f argument: X".
DiskMode parse_format(const std::string& text);
/// 1 or 2. Throws UsageError: "Invalid -v argument: X".
Version parse_version(const std::string& text);
/// none, ext3, ext4. Throws ParameterError: "Incorrect file system type specified: X".
std::string parse_filesystem(const std::string& text);

/// Does the word name a descriptor: does it end in ".xml"?
bool ends_in_xml(const std::string& word);
/// The descriptor that an operand means: itself, or DiskDescriptor.xml in it when it is a folder that holds
/// one.
std::optional<std::string> descriptor_of(FileDoor& files, const std::string& operand);

/// What a global -v word makes of the verbosity: -v, -vv add one each, -vN sets it. None: not such a word.
std::optional<int> verbosity_after(int verbosity, const std::string& word);

} // namespace disktool::ploop::cli
