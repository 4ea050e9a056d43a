// SPDX-License-Identifier: LGPL-2.1-or-later
// Which devices run: files that may be garbled, locks of processes that may be dead.
#include "device/device_state.h"
#include "device/device_state_json.h"
#include "support/temporary_folder.h"

#include <disktool/doors.h>
#include <disktool/error.h>
#include <disktool/log.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <set>
#include <thread>

namespace disktool {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Json = nlohmann::ordered_json;

// Numbers that no device of this machine has.
constexpr int some_minor = 61'000;

DeviceState a_state(int minor = some_minor) {
    DeviceState state;
    state.minor = minor;
    state.node = "/dev/" + state.name();
    state.loop = "/dev/loop77";
    state.loop_name = "no loop device bears this name";
    state.backend = "fuse";
    state.pid = 4711;
    state.format = "ploop";
    state.disk = state.descriptor = "/vz/private/1/root.hdd/DiskDescriptor.xml";
    state.images = {{"/vz/private/1/root.hdd/root.hds", 5, 100}, {"/vz/a \"quoted\" name\n", 5, 101}};
    state.snapshot = "{5fbaabe3-6958-40ff-92a7-860e329aab41}";
    state.component = "backup";
    state.partitions = {{1, state.node + "p1", 1 << 20, 5 << 20}, {12, state.node + "p12", 8 << 20, 1 << 20}};
    return state;
}

/// A child of ours that has done `work` and then waits to be killed.
class Child {
  public:
    explicit Child(const std::function<void()>& work) {
        std::array<int, 2> ready{};
        if (pipe(ready.data()) != 0) {
            throw std::runtime_error("pipe");
        }
        pid_ = fork();
        if (pid_ == 0) {
            try {
                work();
                (void)!write(ready[1], "y", 1);
            } catch (const std::exception&) {
                _exit(1);
            }
            for (;;) {
                pause();
            }
        }
        close(ready[1]);
        char letter = 'n';
        worked_ = read(ready[0], &letter, 1) == 1;
        close(ready[0]);
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() { end(); }
    void end() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
            pid_ = 0;
        }
    }
    bool worked() const { return worked_; }
    int pid() const { return pid_; }

  private:
    pid_t pid_ = 0;
    bool worked_ = false;
};

class DeviceStateTest : public testing::Test {
  protected:
    DeviceStateTest() {
        setenv("DISKTOOL_RUN", run_.c_str(), 1);
        set_log_receiver([this](LogLevel level, std::string_view line) {
            if (level == LogLevel::warning) {
                warnings_.emplace_back(line);
            }
        });
    }
    ~DeviceStateTest() override {
        set_log_receiver({});
        unsetenv("DISKTOOL_RUN");
    }
    void put(int minor, const std::string& text) { test::write_file(device_file(minor, "json"), text); }
    std::string refusal(std::optional<int> wanted) {
        try {
            const auto number = DeviceNumber::take(wanted);
            return fmt::format("taken: {}", number->minor());
        } catch (const Error& error) {
            return error.what();
        }
    }

    test::TemporaryFolder folder_;
    std::string run_ = folder_ / "run";
    std::vector<std::string> warnings_;
};

TEST_F(DeviceStateTest, WithoutAFolderThereAreNone) {
    EXPECT_THAT(device_states(), IsEmpty());
    EXPECT_FALSE(device_state(0));
    EXPECT_FALSE(device_of_node("/dev/ploop0"));
    EXPECT_THAT(devices_of_image(FileStatus{}), IsEmpty());
    EXPECT_FALSE(std::filesystem::exists(run_)) << "looking makes nothing";
}

TEST_F(DeviceStateTest, KeepsWhatIsStored) {
    const auto number = DeviceNumber::take(some_minor);
    DeviceState state = a_state();
    state.read_only = true;
    number->store(state);
    const auto found = device_state(some_minor);
    ASSERT_TRUE(found);
    EXPECT_EQ(json_of(*found), json_of(state));
    EXPECT_TRUE(found->alive);
    EXPECT_EQ(found->images[1].path, state.images[1].path);
    EXPECT_EQ(found->partitions[1].node, state.node + "p12");
    struct stat status {};
    ASSERT_EQ(stat(run_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0700u);
    ASSERT_EQ(stat(device_file(some_minor, "json").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0600u);
    EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(DeviceStateTest, IsOldOrNewWhileItIsWritten) {
    const auto number = DeviceNumber::take(some_minor);
    DeviceState small = a_state(), large = a_state();
    for (int i = 0; i < 500; ++i) {
        large.images.push_back({fmt::format("/vz/image{}", i), 1, 2});
    }
    number->store(small);
    std::atomic<bool> end = false;
    std::thread writer([&] {
        for (int i = 0; i < 200; ++i) {
            number->store(i % 2 == 0 ? large : small);
        }
        end = true;
    });
    std::set<std::size_t> sizes;
    while (!end) {
        const auto state = device_state(some_minor);
        sizes.insert(state ? state->images.size() : 0);
    }
    writer.join();
    for (const std::size_t size : sizes) {
        EXPECT_TRUE(size == small.images.size() || size == large.images.size()) << size;
    }
    EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(DeviceStateTest, PassesOverWhatCannotBeUnderstood) {
    (void)device_folder();
    put(3, "");
    put(4, "{\"version\": 1");
    put(5, "[1, 2, 3]");
    put(6, std::string(200'000, '['));
    put(7, std::string(2 << 20, ' '));
    put(8, json_of(a_state(9)).dump()); // of another device
    put(10, json_of(a_state(10)).dump());
    test::write_file(run_ + "/ploop010.json", json_of(a_state(10)).dump());
    test::write_file(run_ + "/ploop11.json.new", json_of(a_state(11)).dump());
    test::write_file(run_ + "/ploop-1.json", "x");
    test::write_file(run_ + "/ploop99999999999999999999.json", "x");
    std::filesystem::create_directory(run_ + "/ploop12");
    const auto states = device_states();
    ASSERT_EQ(states.size(), 1u);
    EXPECT_EQ(states[0].minor, 10);
    EXPECT_FALSE(states[0].alive);
    EXPECT_EQ(warnings_.size(), 6u);
    EXPECT_THAT(warnings_[0], HasSubstr("ploop3.json"));
    EXPECT_THAT(warnings_[0], HasSubstr("ploop clear -d /dev/ploop3"));
}

TEST_F(DeviceStateTest, RemovesOnlyWhatCannotBeUnderstoodAndNobodyHas) {
    (void)device_folder();
    put(some_minor, "{\"version\": 1");
    put(10, json_of(a_state(10)).dump());
    EXPECT_TRUE(has_unknown_state(some_minor));
    EXPECT_FALSE(has_unknown_state(10));
    EXPECT_FALSE(has_unknown_state(some_minor + 1));
    EXPECT_TRUE(remove_unknown_state(10));
    EXPECT_TRUE(device_state(10)) << "it can be understood";
    {
        const auto number = DeviceNumber::take(some_minor);
        EXPECT_FALSE(remove_unknown_state(some_minor));
        EXPECT_TRUE(has_unknown_state(some_minor));
    }
    EXPECT_TRUE(remove_unknown_state(some_minor));
    EXPECT_FALSE(has_unknown_state(some_minor));
}

TEST_F(DeviceStateTest, BelievesNoStateThatNamesWhatADeviceCannotHave) {
    const std::vector<std::function<void(Json&)>> changes{
        [](Json& json) { json["node"] = "/etc/passwd"; },
        [](Json& json) { json["node"] = "/dev/ploop1"; },
        [](Json& json) { json["node"] = 7; },
        [](Json& json) { json["loop"] = "/dev/sda"; },
        [](Json& json) { json["loop"] = "/dev/loop3/../sda"; },
        [](Json& json) { json["loop"] = "/dev/loop"; },
        [](Json& json) { json["partitions"][0]["node"] = "/dev/ploop0p2"; },
        [](Json& json) { json["partitions"][0]["number"] = -1; },
        [](Json& json) { json["partitions"][0]["length"] = 1e30; },
        [](Json& json) { json["partitions"][0] = "p1"; },
        [](Json& json) { json["partitions"] = 3; },
        [](Json& json) { json["partitions"] = Json(std::vector<Json>(300, json["partitions"][0])); },
        [](Json& json) { json["images"][0].erase("inode"); },
        [](Json& json) { json["images"] = Json(std::vector<Json>(5000, json["images"][0])); },
        [](Json& json) { json["pid"] = -7; },
        [](Json& json) { json["pid"] = std::uint64_t{1} << 40; },
        [](Json& json) { json["minor"] = "0"; },
        [](Json& json) { json["version"] = 2; },
        [](Json& json) { json["read_only"] = "no"; },
        [](Json& json) { json.erase("component"); },
        [](Json& json) { json = Json::array(); },
    };
    std::string why;
    ASSERT_TRUE(device_state_of(json_of(a_state()), why));
    for (std::size_t i = 0; i < changes.size(); ++i) {
        Json json = json_of(a_state());
        changes[i](json);
        why.clear();
        EXPECT_FALSE(device_state_of(json, why)) << i;
        EXPECT_NE(why, "") << i;
    }
}

TEST_F(DeviceStateTest, RefusesAFolderOfOthers) {
    const auto refused = [&](const std::string& why) {
        EXPECT_THAT(refusal(some_minor), HasSubstr(why));
        EXPECT_THROW((void)device_states(), Error);
        EXPECT_THROW((void)devices_of_image(FileStatus{}), Error);
        EXPECT_THROW((void)device_folder(), Error);
    };
    std::filesystem::create_directory(run_);
    ASSERT_EQ(chmod(run_.c_str(), 0777), 0);
    refused("may be written by others");
    ASSERT_EQ(chmod(run_.c_str(), 0720), 0);
    refused("may be written by others");
    ASSERT_EQ(chmod(run_.c_str(), 0755), 0);
    EXPECT_THAT(refusal(some_minor), HasSubstr("taken"));
    if (geteuid() == 0) {
        ASSERT_EQ(chown(run_.c_str(), 65534, 0), 0);
        refused("belongs to user 65534");
    }
    std::filesystem::remove_all(run_);
    std::filesystem::create_directory(folder_ / "real");
    std::filesystem::create_symlink(folder_ / "real", run_);
    refused("is no folder");
    std::filesystem::remove(run_);
    test::write_file(run_, "");
    refused("is no folder");
}

TEST_F(DeviceStateTest, UnderstandsNames) {
    EXPECT_EQ(minor_of_name("/dev/ploop0"), 0);
    EXPECT_EQ(minor_of_name("ploop17"), 17);
    EXPECT_EQ(minor_of_name("/dev/ploop17p3"), 17);
    for (const char* name : {"", "ploop", "/dev/ploop", "ploop-1", "ploop01", "ploop1p", "ploop1x", "ploop1p1x",
                             "/dev/loop1", "/tmp/ploop1", "ploop99999999999", "ploop70000", "ploop1pp1"}) {
        EXPECT_FALSE(minor_of_name(name)) << name;
    }
}

TEST_F(DeviceStateTest, FindsADeviceByItsImagesTheWriterFirst) {
    std::vector<std::unique_ptr<DeviceNumber>> numbers;
    const auto store = [&](int minor, std::vector<DeviceImage> images, bool read_only) {
        numbers.push_back(DeviceNumber::take(some_minor + minor));
        DeviceState state = a_state(some_minor + minor);
        state.images = std::move(images);
        state.read_only = read_only;
        numbers.back()->store(state);
    };
    store(0, {{"a", 8, 1}, {"b", 8, 2}}, true); // the snapshot alone
    store(1, {{"a", 8, 1}, {"b", 8, 2}, {"c", 8, 3}}, false);
    store(2, {{"x", 9, 2}}, false);
    store(3, {{"a", 8, 1}, {"b", 8, 2}}, false);
    const auto minors = [](std::uint64_t device, std::uint64_t inode) {
        FileStatus image;
        image.device = device;
        image.inode = inode;
        std::vector<int> found;
        for (const DeviceState& state : devices_of_image(image)) {
            found.push_back(state.minor - some_minor);
        }
        return found;
    };
    EXPECT_THAT(minors(8, 1), ElementsAre(0, 1, 3));
    EXPECT_THAT(minors(8, 2), ElementsAre(3, 0, 1));
    EXPECT_THAT(minors(8, 3), ElementsAre(1));
    EXPECT_THAT(minors(9, 2), ElementsAre(2));
    EXPECT_THAT(minors(9, 3), IsEmpty());
}

TEST_F(DeviceStateTest, ANumberHasOneOwner) {
    const auto first = DeviceNumber::take(some_minor);
    EXPECT_EQ(first->minor(), some_minor);
    EXPECT_THAT(refusal(some_minor), HasSubstr("another program is about to use it"));
    DeviceState state = a_state();
    state.pid = getpid();
    first->store(state);
    EXPECT_THAT(refusal(some_minor),
                HasSubstr(fmt::format("/dev/ploop{} cannot be used: {} is there (process {})", some_minor,
                                      state.disk, getpid())));
    const auto some = DeviceNumber::take(std::nullopt);
    const auto other = DeviceNumber::take(std::nullopt);
    EXPECT_LT(some->minor(), other->minor());
    EXPECT_THROW((void)DeviceNumber::take(-1), Error);
    EXPECT_THROW((void)DeviceNumber::take(65'536), Error);
}

TEST_F(DeviceStateTest, ManyTakersAtOnceGetDifferentOnes) {
    constexpr int takers = 8, each = 20;
    std::vector<std::vector<std::unique_ptr<DeviceNumber>>> taken(takers);
    std::vector<std::thread> threads;
    for (auto& mine : taken) {
        threads.emplace_back([&mine] {
            for (int i = 0; i < each; ++i) {
                mine.push_back(DeviceNumber::take(std::nullopt));
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    std::set<int> minors;
    for (const auto& mine : taken) {
        for (const auto& number : mine) {
            minors.insert(number->minor());
        }
    }
    EXPECT_EQ(minors.size(), static_cast<std::size_t>(takers * each));
}

TEST_F(DeviceStateTest, LookingStandsInNobodysWay) {
    DeviceNumber::take(some_minor)->store(a_state());
    std::atomic<bool> end = false;
    std::thread looker([&] {
        while (!end) {
            (void)device_state(some_minor);
        }
    });
    int refused = 0;
    for (int i = 0; i < 300; ++i) {
        try {
            DeviceNumber::take(some_minor)->store(a_state());
        } catch (const Error&) {
            ++refused;
        }
    }
    end = true;
    looker.join();
    EXPECT_EQ(refused, 0);
}

TEST_F(DeviceStateTest, TheLockFollowsTheDescriptorIntoAChild) {
    auto number = DeviceNumber::take(some_minor);
    const int lock = number->descriptor();
    EXPECT_NE(fcntl(lock, F_GETFD) & FD_CLOEXEC, 0);
    Child child([&] {
        const auto adopted = DeviceNumber::adopt(fcntl(lock, F_DUPFD, 100));
        if (adopted->minor() != some_minor) {
            throw std::runtime_error("another number");
        }
        adopted->store(a_state());
    });
    ASSERT_TRUE(child.worked());
    number.reset();
    EXPECT_THAT(refusal(some_minor), HasSubstr("is there"));
    EXPECT_TRUE(device_state(some_minor)->alive);
    child.end();
    EXPECT_FALSE(device_state(some_minor)->alive);
    EXPECT_THAT(refusal(some_minor), HasSubstr("taken"));
}

TEST_F(DeviceStateTest, AdoptsNothingElse) {
    (void)device_folder();
    const std::string other = run_ + "/ploop5.json";
    test::write_file(other, "");
    EXPECT_THROW((void)DeviceNumber::adopt(open(other.c_str(), O_RDWR | O_CLOEXEC)), Error);
    std::filesystem::create_directory(folder_ / "elsewhere");
    test::write_file(folder_ / "elsewhere/ploop5.lock", "");
    EXPECT_THROW(
        (void)DeviceNumber::adopt(open((folder_ / "elsewhere/ploop5.lock").c_str(), O_RDWR | O_CLOEXEC)),
        Error);
    const auto number = DeviceNumber::take(some_minor);
    EXPECT_THROW((void)DeviceNumber::adopt(open(device_file(some_minor, "lock").c_str(), O_RDWR | O_CLOEXEC)),
                 Error)
        << "somebody else's lock";
    EXPECT_THROW((void)DeviceNumber::adopt(-1), Error);
}

TEST_F(DeviceStateTest, ADeadDeviceIsClearedAwayByWhoeverTakesItsNumber) {
    Child child([] { DeviceNumber::take(some_minor).release()->store(a_state()); });
    ASSERT_TRUE(child.worked());
    test::write_file(device_file(some_minor, "sock"), "");
    EXPECT_TRUE(device_state(some_minor)->alive);
    EXPECT_FALSE(remove_dead_device(*device_state(some_minor))) << "it lives";
    child.end();
    const auto dead = device_state(some_minor);
    ASSERT_TRUE(dead);
    EXPECT_FALSE(dead->alive);
    const auto number = DeviceNumber::take(some_minor);
    EXPECT_FALSE(device_state(some_minor));
    EXPECT_FALSE(std::filesystem::exists(device_file(some_minor, "sock")));
    EXPECT_TRUE(std::filesystem::exists(device_file(some_minor, "lock")));
}

TEST_F(DeviceStateTest, RemovesTheDeadAlone) {
    { DeviceNumber::take(some_minor)->store(a_state()); }
    DeviceState stale = *device_state(some_minor);
    stale.pid = 1;
    EXPECT_FALSE(remove_dead_device(stale)) << "meanwhile it is another one";
    EXPECT_TRUE(device_state(some_minor));
    stale = *device_state(some_minor);
    EXPECT_TRUE(remove_dead_device(stale));
    EXPECT_FALSE(device_state(some_minor));
    EXPECT_TRUE(remove_dead_device(stale)) << "it has gone already";
}

TEST_F(DeviceStateTest, ForgetsNodesSocketAndState) {
    if (geteuid() != 0) {
        GTEST_SKIP() << "not root";
    }
    const int minor = some_minor + getpid() % 1000;
    const auto number = DeviceNumber::take(minor);
    const DeviceState state = a_state(minor);
    number->store(state);
    test::write_file(device_file(minor, "sock"), "");
    ASSERT_EQ(symlink("/dev/loop77", state.node.c_str()), 0);
    ASSERT_EQ(symlink("/dev/loop77p1", state.partitions[0].node.c_str()), 0);
    test::write_file(state.partitions[1].node, "dd has missed the node");
    number->forget();
    EXPECT_FALSE(std::filesystem::is_symlink(state.node));
    EXPECT_FALSE(std::filesystem::is_symlink(state.partitions[0].node));
    EXPECT_TRUE(std::filesystem::exists(state.partitions[1].node)) << "what is no node is somebody's data";
    std::filesystem::remove(state.partitions[1].node);
    EXPECT_FALSE(device_state(minor));
    EXPECT_FALSE(std::filesystem::exists(device_file(minor, "sock")));

    // Another program has taken the name.
    number->store(state);
    ASSERT_EQ(symlink("/dev/loop78", state.node.c_str()), 0);
    ASSERT_EQ(symlink("/dev/loop78p1", state.partitions[0].node.c_str()), 0);
    number->forget();
    EXPECT_TRUE(std::filesystem::is_symlink(state.node));
    EXPECT_TRUE(std::filesystem::is_symlink(state.partitions[0].node));
    EXPECT_FALSE(device_state(minor));
    std::filesystem::remove(state.node);
    std::filesystem::remove(state.partitions[0].node);
}

TEST_F(DeviceStateTest, ANodeOfOthersIsNotOurs) {
    if (geteuid() != 0) {
        GTEST_SKIP() << "not root";
    }
    const int minor = some_minor + 1000 + getpid() % 1000;
    const std::string node = fmt::format("/dev/ploop{}", minor);
    ASSERT_EQ(symlink("loop77", node.c_str()), 0);
    EXPECT_THAT(refusal(minor), HasSubstr("another program has made that node"));
    EXPECT_TRUE(std::filesystem::is_symlink(node));
    std::filesystem::remove(node);
    EXPECT_THAT(refusal(minor), HasSubstr("taken"));
}

} // namespace
} // namespace disktool
