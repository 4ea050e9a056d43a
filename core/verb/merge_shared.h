// SPDX-License-Identifier: LGPL-2.1-or-later
// Who else uses the backing files of a chain.
#pragma once

#include "image/session.h"

#include <string>
#include <vector>

namespace disktool {

/// Images in the folders of the chain's files that name one of its backing files as their own, besides the
/// chain itself. "IMAGE uses FILE", at most ten.
std::vector<std::string> other_users(Session& session, const std::vector<std::string>& backing_files);

} // namespace disktool
