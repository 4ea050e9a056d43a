// SPDX-License-Identifier: LGPL-2.1-or-later
// Images made with QEMU's programs, and a way to open them without the core's gate and locks.
#pragma once

#include "big_endian.h"
#include "image.h"
#include "support/file_device.h"
#include "support/run.h"
#include "support/temporary_folder.h"

#include <disktool/doors.h>
#include <disktool/error.h>
#include <disktool/size.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

namespace disktool::qcow2::test {

using disktool::test::run_tool;
using disktool::test::TemporaryFolder;

/// qemu-io commands on an image, in one go.
inline void qemu_io(const std::string& path, const std::vector<std::string>& commands) {
    std::vector<std::string> arguments = {"qemu-io", "-t", "unsafe", "-f", "qcow2"};
    for (const std::string& command : commands) {
        arguments.insert(arguments.end(), {"-c", command});
    }
    arguments.push_back(path);
    run_tool(arguments);
}

inline void create(const std::string& path, const std::string& options, const std::string& size) {
    run_tool({"qemu-img", "create", "-q", "-f", "qcow2", "-o", options, path, size});
}

/// A raw backing file, as far as a chain needs it.
class RawImage final : public disktool::Image {
  public:
    explicit RawImage(const std::string& path) : device_(path) {
        info_.chain.push_back({path, "raw", device_.size(), device_.size()});
    }
    const ImageInfo& info() const override { return info_; }
    BlockDevice& device() override { return device_; }
    std::optional<Refusal> refusal(Capability) const override { return std::nullopt; }

  private:
    disktool::test::FileDevice device_;
    ImageInfo info_;
};

/// Backing and data files lie beside the image or at an absolute path; whatever is named is opened.
class Opener final : public ImageOpener {
  public:
    explicit Opener(const std::string& path, Access access = Access::read)
        : access_(access), file_(real_doors().files.open(path, {.write = access == Access::write})) {}

    Doors doors() override { return real_doors(); }
    Access access() const override { return access_; }
    File& file() override { return *file_; }
    std::unique_ptr<disktool::Image> open_backing(const std::string& stored_name,
                                                  const std::string& format) override {
        if (format == "raw") {
            return std::make_unique<RawImage>(resolve(stored_name));
        }
        return std::make_unique<Image>(std::make_unique<Opener>(resolve(stored_name)));
    }
    std::unique_ptr<File> open_data_file(const std::string& stored_name) override {
        return real_doors().files.open(resolve(stored_name), {.write = access_ == Access::write});
    }

  private:
    std::string resolve(const std::string& stored_name) const {
        return std::filesystem::path(file_->path()).parent_path() / stored_name;
    }
    Access access_;
    std::unique_ptr<File> file_;
};

inline std::unique_ptr<Image> open(const std::string& path) {
    return std::make_unique<Image>(std::make_unique<Opener>(path));
}

/// Overwrites a number of an image, as a hostile hand would.
template <typename T>
void patch(const std::string& path, std::uint64_t offset, T value) {
    std::vector<std::byte> bytes(sizeof value);
    store_big_endian(std::span(bytes), 0, value);
    real_doors().files.open(path, {.write = true})->write(offset, bytes);
}

template <typename T>
T peek(const std::string& path, std::uint64_t offset) {
    std::vector<std::byte> bytes(sizeof(T));
    real_doors().files.open(path, {})->read(offset, bytes);
    return load_big_endian<T>(bytes, 0);
}

/// The error that `action` throws; a test failure where it throws none.
inline Error error_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& error) {
        return error;
    }
    ADD_FAILURE() << "nothing was thrown";
    return Error(ErrorCode::failure, "nothing was thrown");
}

/// A way to make an image that the oracle tests try.
struct ImageCase {
    std::string name;
    std::function<std::string(const TemporaryFolder&)> make; ///< returns the image's path
    friend void PrintTo(const ImageCase& image, std::ostream* out) { *out << image.name; }
};

/// 16 MiB of which some is compressible, some random, some zero.
inline std::string make_source(const TemporaryFolder& folder) {
    const std::string path = folder / "source.raw";
    run_tool({"qemu-img", "create", "-q", "-f", "raw", path, "16M"});
    std::vector<std::string> arguments = {"qemu-io", "-t", "unsafe", "-f", "raw"};
    for (int i = 0; i < 24; ++i) {
        arguments.insert(arguments.end(),
                         {"-c", fmt::format("write -q -P {} {}k {}k", i + 1, i * 600, 100 + i * 13)});
    }
    arguments.push_back(path);
    run_tool(arguments);
    run_tool({"dd", "if=/dev/urandom", "of=" + path, "bs=64k", "seek=100", "count=12", "conv=notrunc",
              "status=none"});
    return path;
}

/// Data, holes, both sorts of zero clusters, discards, and writes that cover parts of clusters.
inline ImageCase written(std::string name, std::string options) {
    return {name, [=](const TemporaryFolder& folder) {
                const std::string path = folder / "disk.qcow2";
                create(path, options, "20000256"); // not a multiple of any cluster size but 512
                std::vector<std::string> commands;
                for (int i = 0; i < 30; ++i) {
                    commands.push_back(fmt::format("write -q -P {} {}k {}k", i + 1, i * 640, 3 + i * 17));
                }
                commands.insert(commands.end(),
                                {"write -q -P 200 5M 4M", "write -q -z 6M 1M", "write -q -z -u 7M 1M",
                                 "discard -q 8M 300k", "write -q -P 77 19999744 512", "write -q -z 12M 1k",
                                 "write -q -P 9 6500k 5k"});
                qemu_io(path, commands);
                return path;
            }};
}

/// Compressed clusters, some of them overwritten.
inline ImageCase compressed(std::string name, std::string options) {
    return {name, [=](const TemporaryFolder& folder) {
                const std::string path = folder / "disk.qcow2";
                run_tool({"qemu-img", "convert", "-t", "unsafe", "-c", "-O", "qcow2", "-o", options,
                          make_source(folder), path});
                qemu_io(path, {"write -q -P 99 1M 100k", "write -q -z 2M 64k", "write -q -P 98 15M 3k"});
                return path;
            }};
}

inline ImageCase external(std::string name, const std::string& options) {
    return {name, [=](const TemporaryFolder& folder) {
                const std::string path = folder / "disk.qcow2";
                create(path, "data_file=" + (folder / "disk.data") + options, "20M");
                qemu_io(path, {"write -q -P 1 0 3M", "write -q -P 2 10M 100k", "write -q -z 1M 1M",
                               "discard -q 2M 512k"});
                return path;
            }};
}

inline std::vector<ImageCase> image_cases() {
    return {
        written("version2", "compat=0.10"),
        written("version2_cluster512", "compat=0.10,cluster_size=512"),
        written("version3", "compat=1.1"),
        written("cluster512", "cluster_size=512"),
        written("cluster4k", "cluster_size=4k"),
        written("cluster2M", "cluster_size=2M"),
        written("refcount1", "refcount_bits=1"),
        written("refcount64", "refcount_bits=64,cluster_size=1k"),
        written("subclusters16k", "extended_l2=on,cluster_size=16k"),
        written("subclusters64k", "extended_l2=on"),
        written("subclusters2M", "extended_l2=on,cluster_size=2M"),
        written("preallocated", "preallocation=metadata"),
        compressed("zlib", "compression_type=zlib"),
        compressed("zlib_version2_cluster512", "compat=0.10,cluster_size=512"),
        compressed("zlib_cluster2M", "cluster_size=2M"),
        compressed("zstd", "compression_type=zstd"),
        compressed("zstd_cluster4k", "compression_type=zstd,cluster_size=4k"),
        compressed("zstd_cluster2M", "compression_type=zstd,cluster_size=2M"),
        compressed("zlib_subclusters", "extended_l2=on"),
        external("data_file", ""),
        external("data_file_raw", ",data_file_raw=on"),
        {"snapshots",
         [](const TemporaryFolder& folder) {
             const std::string path = written("", "cluster_size=4k").make(folder);
             run_tool({"qemu-img", "snapshot", "-c", "one", path});
             qemu_io(path, {"write -q -P 33 0 7M"});
             run_tool({"qemu-img", "snapshot", "-c", "two", path});
             qemu_io(path, {"write -q -P 34 1M 2M", "discard -q 3M 1M"});
             return path;
         }},
        {"dirty",
         [](const TemporaryFolder& folder) {
             const std::string path = folder / "disk.qcow2";
             create(path, "lazy_refcounts=on", "20M");
             // qemu-io ends itself without closing the image.
             disktool::test::exit_status_of(
                 {"qemu-io", "-f", "qcow2", "-c", "write -q -P 5 1M 3M", "-c", "flush", "-c", "abort", path});
             return path;
         }},
        {"empty",
         [](const TemporaryFolder& folder) {
             const std::string path = folder / "disk.qcow2";
             create(path, "compat=1.1", "0");
             return path;
         }},
        {"one_tebibyte",
         [](const TemporaryFolder& folder) {
             const std::string path = folder / "disk.qcow2";
             create(path, "compat=1.1", "1T");
             qemu_io(path, {"write -q -P 1 0 64k", "write -q -P 2 700G 1M", "write -q -P 3 1099511562240 64k"});
             return path;
         }},
        {"raw_backing",
         [](const TemporaryFolder& folder) {
             make_source(folder);
             run_tool({"qemu-img", "create", "-q", "-f", "qcow2", "-b", "source.raw", "-F", "raw",
                       folder / "disk.qcow2", "18M"});
             qemu_io(folder / "disk.qcow2",
                     {"write -q -P 3 6M 100k", "write -q -z 2M 2M", "write -q -P 4 17M 1M"});
             return folder / "disk.qcow2";
         }},
        {"chain",
         [](const TemporaryFolder& folder) {
             // Sizes and clusters differ; the middle one is the shortest, and names are relative.
             create(folder / "base.qcow2", "cluster_size=4k", "24M");
             qemu_io(folder / "base.qcow2",
                     {"write -q -P 1 0 9M", "write -q -P 2 15M 9M", "write -q -z 4M 1M"});
             run_tool({"qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "-o",
                       "cluster_size=2M", folder / "middle.qcow2", "17M"});
             qemu_io(folder / "middle.qcow2", {"write -q -P 3 6M 100k", "write -q -z 2M 2M"});
             run_tool({"qemu-img", "create", "-q", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2", "-o",
                       "extended_l2=on", folder / "top.qcow2", "30M"});
             qemu_io(folder / "top.qcow2",
                     {"write -q -P 4 1M 70k", "write -q -P 5 29M 1k", "write -q -P 6 16M 10k",
                      "write -q -z 7M 40k", "discard -q 8M 64k"});
             return folder / "top.qcow2";
         }},
    };
}

} // namespace disktool::qcow2::test
