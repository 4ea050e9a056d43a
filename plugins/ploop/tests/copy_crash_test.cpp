// SPDX-License-Identifier: LGPL-2.1-or-later
// The receiving side of a copy, killed and failing at each of its changes: what was confirmed is safe, and no
// part of a copy is taken for a whole one.
#include "every_cut.h"
#include "little_endian.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <thread>

namespace disktool::ploop::operations_test {

namespace {

constexpr std::uint64_t clusters = 5;

/// Sends clusters, a "sync now" in between, and the end; from a thread, since a pipe does not hold them all.
class Sender {
  public:
    Sender() {
        int ends[2];
        EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
        input = ends[0];
        // A receiver that fails hangs up.
        signal(SIGPIPE, SIG_IGN);
        thread_ = std::thread([output = ends[1]] {
            send_all(output);
            close(output);
        });
    }
    Sender(const Sender&) = delete;
    Sender& operator=(const Sender&) = delete;
    ~Sender() {
        close(input);
        thread_.join();
    }
    int input = -1;

  private:
    static bool send(int output, std::uint64_t position, const std::string& data) {
        std::array<std::byte, 16> head{};
        put<std::uint32_t>(head, 0, 0x4cc0ac3d);
        put<std::uint32_t>(head, 4, static_cast<std::uint32_t>(data.size()));
        put<std::uint64_t>(head, 8, position);
        return write(output, head.data(), head.size()) == static_cast<ssize_t>(head.size()) &&
               write(output, data.data(), data.size()) == static_cast<ssize_t>(data.size());
    }
    static void send_all(int output) {
        for (std::uint64_t number = 0; number < clusters; ++number) {
            if (!send(output, number * cluster_bytes, cluster_of('s', number)) ||
                (number == 2 && !send(output, 0, "sync"))) {
                return;
            }
        }
        // The four bytes of "sync" lie in the file now, so the first cluster comes once more.
        if (send(output, 0, cluster_of('s', 0))) {
            send(output, 0, "");
        }
    }

    std::thread thread_;
};

std::string whole_copy() {
    std::string text;
    for (std::uint64_t number = 0; number < clusters; ++number) {
        text += cluster_of('s', number);
    }
    return text;
}

void receive(const std::filesystem::path& folder, Doors doors) {
    const Sender sender;
    receive_copy(doors, (folder / "copy").string(), sender.input, {}, nullptr);
}

void expect_another_run(const std::filesystem::path& folder) {
    // It writes over nothing; and where there is nothing, it does its work.
    if (std::filesystem::exists(folder / "copy")) {
        const std::string before = read_file((folder / "copy").string());
        EXPECT_NE(exit_of([&] { receive(folder, real_doors()); }), 0);
        EXPECT_TRUE(read_file((folder / "copy").string()) == before);
        std::filesystem::remove(folder / "copy");
    }
    receive(folder, real_doors());
    EXPECT_TRUE(read_file((folder / "copy").string()) == whole_copy());
    EXPECT_EQ(names_in(folder), (std::set<std::string>{"copy"}));
}

TEST(PloopCopyCrash, ACutLeavesNoMoreThanAPart) {
    EXPECT_GT(try_all_cuts({.work = receive, .judge = expect_another_run}), 8u);
}

TEST(PloopCopyCrash, WhatWasConfirmedIsSafe) {
    const TemporaryFolder folder, left;
    RecordingDoor door(folder.path());
    receive(folder.path(), {door, real_doors().processes});
    std::size_t first_sync = 0;
    while (door.changes()[first_sync].kind != disktool::test::ChangeKind::sync) {
        ++first_sync;
    }
    for (const Survivors survivors : {Survivors::all, Survivors::torn, Survivors::synced, Survivors::random}) {
        for (std::uint32_t seed = 0; seed < 4; ++seed) {
            door.materialise(door.cuts().back(), survivors, left.path(), seed);
            EXPECT_TRUE(read_file(left / "copy") == whole_copy()) << static_cast<int>(survivors);
        }
    }
    // In the middle: the three clusters before the "sync now", as far as that did not write over them. The
    // file's name is not promised before the end.
    door.materialise(first_sync + 1, Survivors::all, left.path());
    EXPECT_EQ(read_file(left / "copy"), "sync" + whole_copy().substr(4, 3 * cluster_bytes - 4));
    EXPECT_EQ(door.changes().back().kind, disktool::test::ChangeKind::sync_directory);
}

TEST(PloopCopyCrash, AFailureLeavesNoCopy) {
    unsigned copies = 0;
    EXPECT_GT(try_all_failures({.work = receive,
                                .judge =
                                    [&](const std::filesystem::path& folder) {
                                        if (std::filesystem::exists(folder / "copy")) {
                                            ++copies;
                                            EXPECT_TRUE(read_file((folder / "copy").string()) == whole_copy());
                                        }
                                        expect_another_run(folder);
                                    }}),
              8u);
    EXPECT_EQ(copies, 2u) << "only where nothing failed";
}

} // namespace

} // namespace disktool::ploop::operations_test
