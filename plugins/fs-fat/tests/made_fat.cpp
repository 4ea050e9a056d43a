// SPDX-License-Identifier: LGPL-2.1-or-later
#include "made_fat.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <utility>
#include <vector>

namespace disktool::fat::test {

namespace dt = disktool::test;
namespace fs = std::filesystem;

namespace {

std::string trimmed(std::string text) {
    while (text.ends_with('\n'))
        text.pop_back();
    return text;
}

/// An exFAT image on a loop device, mounted through FUSE while this lives.
class Mounted {
  public:
    explicit Mounted(const std::string& image) {
        loop_ = trimmed(dt::run_tool({"losetup", "--find", "--show", image}));
        try {
            dt::run_tool({"mount.exfat-fuse", loop_, folder_.path().string()});
        } catch (...) {
            dt::result_of({"losetup", "--detach", loop_});
            throw;
        }
    }
    Mounted(const Mounted&) = delete;
    Mounted& operator=(const Mounted&) = delete;
    ~Mounted() {
        dt::result_of({"umount", folder_.path().string()});
        // The server writes its last while it ends; the device is busy until then.
        for (int i = 0; i < 100 && dt::exit_status_of({"sh", "-c", "fuser -s " + loop_}) == 0; ++i)
            dt::result_of({"sleep", "0.05"});
        dt::result_of({"blockdev", "--flushbufs", loop_});
        dt::result_of({"losetup", "--detach", loop_});
    }
    fs::path path() const { return folder_.path(); }

  private:
    dt::TemporaryFolder folder_;
    std::string loop_;
};

std::string random_content(std::mt19937& random) {
    std::string content(random() % 60000, '\0');
    for (char& byte : content)
        byte = static_cast<char>(random());
    return content;
}

} // namespace

void PrintTo(const Recipe& recipe, std::ostream* out) {
    *out << recipe.command << " of " << recipe.kib << " KiB";
}

MadeFat::MadeFat(const Recipe& recipe)
    : path_(folder_ / "disk.img"), exfat_(std::string(recipe.command).find("mkfs.exfat") != std::string::npos) {
    std::ofstream(path_).close();
    fs::resize_file(path_, recipe.kib * 1024);
    std::istringstream stream(recipe.command);
    std::vector<std::string> command{std::istream_iterator<std::string>(stream), {}};
    command.push_back(path_);
    dt::run_tool(std::move(command));
}

std::string MadeFat::copy(const std::string& name) const {
    std::string to = beside(name);
    dt::run_tool({"cp", "--sparse=always", path_, to});
    return to;
}

void MadeFat::fill(int files) {
    std::mt19937 random(static_cast<unsigned>(files));
    if (exfat_) {
        const Mounted mounted(path_);
        for (int i = 0; i < files; ++i)
            dt::write_file(mounted.path() / fmt::format("f{}", i), random_content(random));
        for (int i = 0; i < files; i += 2)
            fs::remove(mounted.path() / fmt::format("f{}", i));
        return;
    }
    const std::string source = beside("source");
    fs::create_directory(source);
    std::vector<std::string> put = {"mcopy", "-i", path_};
    std::vector<std::string> remove = {"mdel", "-i", path_};
    for (int i = 0; i < files; ++i) {
        put.push_back(fmt::format("{}/f{}", source, i));
        dt::write_file(put.back(), random_content(random));
        if (i % 2 == 0)
            remove.push_back(fmt::format("::f{}", i));
    }
    put.emplace_back("::");
    dt::run_tool(put);
    dt::run_tool(remove);
}

std::map<std::string, std::string> MadeFat::sums(const std::string& image) const {
    std::map<std::string, std::string> result;
    const auto add = [&](const fs::path& folder) {
        for (const fs::directory_entry& entry : fs::directory_iterator(folder))
            result[entry.path().filename()] = dt::run_tool({"sha256sum", entry.path()}).substr(0, 64);
    };
    if (exfat_) {
        const Mounted mounted(image);
        add(mounted.path());
        return result;
    }
    const dt::TemporaryFolder out;
    dt::run_tool({"mcopy", "-s", "-i", image, "::*", out.path().string()});
    add(out.path());
    return result;
}

void MadeFat::patch(std::uint64_t offset, const std::string& bytes) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!file.flush())
        throw std::runtime_error("cannot patch " + path_);
}

std::string MadeFat::bytes(std::uint64_t offset, std::uint64_t length) const {
    std::ifstream file(path_, std::ios::binary);
    std::string result(length, '\0');
    file.seekg(static_cast<std::streamoff>(offset));
    file.read(result.data(), static_cast<std::streamsize>(length));
    return result;
}

std::string MadeFat::blkid(const std::string& tag) const {
    return trimmed(dt::run_tool({"blkid", "-p", "-o", "value", "-s", tag, path_}));
}

void MadeFat::seal_exfat() {
    std::uint32_t sum = 0;
    const std::string sectors = bytes(0, 11 * 512);
    for (std::size_t i = 0; i < sectors.size(); ++i)
        if (i != 106 && i != 107 && i != 112)
            sum = ((sum & 1) << 31 | sum >> 1) + static_cast<unsigned char>(sectors[i]);
    std::string sector;
    for (int i = 0; i < 512; ++i)
        sector += static_cast<char>(sum >> (8 * (i % 4)));
    patch(sectors.size(), sector);
}

bool fsck_clean(const std::string& path, bool exfat) {
    return dt::exit_status_of({exfat ? "fsck.exfat" : "fsck.fat", "-n", path}) == 0;
}

bool exfat_mountable() {
    return dt::exit_status_of({"sh", "-c", "command -v mount.exfat-fuse && command -v fuser"}) == 0;
}

} // namespace disktool::fat::test
