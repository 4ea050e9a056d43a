// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/private_socket.h"

#include <disktool/error.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <filesystem>
#include <string>

namespace disktool {

namespace {

constexpr const char* socket_name = "s";

/// Made with mode 0700; goes, with the socket in it, with the object.
class PrivateFolder {
  public:
    PrivateFolder() : path_((std::filesystem::temp_directory_path() / "disktool-XXXXXX").string()) {
        if (!mkdtemp(path_.data()))
            throw SystemError("Cannot make a temporary folder", path_, errno);
        descriptor_ = Descriptor(::open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!descriptor_) {
            const int error_number = errno;
            rmdir(path_.c_str());
            throw SystemError("Cannot open", path_, error_number);
        }
    }
    PrivateFolder(const PrivateFolder&) = delete;
    PrivateFolder& operator=(const PrivateFolder&) = delete;
    ~PrivateFolder() {
        unlinkat(descriptor_.get(), socket_name, 0);
        rmdir(path_.c_str());
    }

    const std::string& path() const { return path_; }

    /// Through /proc, since a socket's address has room for 107 characters only and TMPDIR may be longer.
    sockaddr_un socket_address() const {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        fmt::format_to_n(address.sun_path, sizeof address.sun_path - 1, "/proc/self/fd/{}/{}",
                         descriptor_.get(), socket_name);
        return address;
    }

  private:
    std::string path_;
    Descriptor descriptor_;
};

} // namespace

PrivateSocket make_private_socket(unsigned connections) {
    const PrivateFolder folder;
    const sockaddr_un address = folder.socket_address();
    const auto* const any_address = reinterpret_cast<const sockaddr*>(&address);
    const auto fail = [&] { throw SystemError("Cannot make a socket in", folder.path(), errno); };
    PrivateSocket result{Descriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), {}};
    if (!result.listening || bind(result.listening.get(), any_address, sizeof address) != 0 ||
        listen(result.listening.get(), static_cast<int>(connections)) != 0) {
        fail();
    }
    for (unsigned i = 0; i < connections; ++i) {
        Descriptor connected(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (!connected || connect(connected.get(), any_address, sizeof address) != 0) {
            fail();
        }
        result.connected.push_back(std::move(connected));
    }
    return result;
}

} // namespace disktool
