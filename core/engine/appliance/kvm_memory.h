// SPDX-License-Identifier: LGPL-2.1-or-later
// Every run of the program would find out again, in many seconds, that the host's KVM does not work.
#pragma once

#include <optional>
#include <string>

namespace disktool {

/// The file in runtime_folder() in which it is remembered until the next reboot. Empty: there is no such place.
std::string kvm_memory_path();
/// Why KVM did not work within the last day; none: nothing is known.
std::optional<std::string> remembered_kvm_failure(const std::string& path);
/// Where it cannot be written, the next run finds out again.
void remember_kvm_failure(const std::string& path, const std::string& why);

} // namespace disktool
