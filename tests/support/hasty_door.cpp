// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/hasty_door.h"

#include "block/forwarding_file.h"

namespace disktool::test {

namespace {

class HastyFile final : public ForwardingFile {
  public:
    using ForwardingFile::ForwardingFile;
    void sync_data() override {}
    void sync() override {}
};

} // namespace

std::unique_ptr<File> HastyDoor::open(const std::string& path, OpenFlags flags) {
    return std::make_unique<HastyFile>(real_.open(path, flags));
}

Doors hasty_doors() {
    static HastyDoor files;
    return {files, real_doors().processes};
}

} // namespace disktool::test
