// SPDX-License-Identifier: LGPL-2.1-or-later
#include "judge.h"

#include "plan/job_record.h"
#include "support/run.h"

#include <disktool/error.h>

#include <gtest/gtest.h>

namespace fs = std::filesystem;

namespace disktool::test {

namespace {

/// qemu-img check: 0 clean, 3 leaks, all else errors.
int qemu_check(const std::string& image, std::string& what) {
    const CommandResult result = result_of({"qemu-img", "check", "-f", "qcow2", image});
    what = result.output + result.errors;
    return result.exit_status;
}

} // namespace

Judge::Names Judge::names_in(const fs::path& folder) {
    Names names;
    for (const auto& entry : fs::directory_iterator(folder)) {
        names.insert(entry.path().filename().string());
    }
    return names;
}

Judge::Judge(const Scenario& scenario, const fs::path& before, const fs::path& after, const fs::path& notes)
    : scenario_(scenario), notes_(notes), old_content_(DiskContent::by_qemu((before / top_name).string())),
      new_content_(DiskContent::by_qemu((after / top_name).string())), old_names_(names_in(before)),
      new_names_(names_in(after)) {
    const auto session = open_session(real_doors(), (before / top_name).string(), Access::read);
    for (const SnapshotInfo& snapshot : session->image().info().snapshots) {
        snapshots_.emplace(snapshot.name, DiskContent::by_qemu((before / top_name).string(), snapshot.name));
    }
}

void Judge::expect_content(const std::string& image, bool by_qemu) {
    const auto session = open_session({files_, real_doors().processes}, image, Access::read);
    const bool is_new =
        session->image().info().virtual_size == new_content_.size() &&
        (old_content_.size() != new_content_.size() || !new_content_.difference(session->image().device()));
    if (is_new && other_runs_ && guest_sees_change()) {
        new_++;
        EXPECT_NO_THROW(scenario_.verify(image, notes_, true));
        return;
    }
    const DiskContent& expected = is_new ? new_content_ : old_content_;
    (is_new ? new_ : old_)++;
    EXPECT_EQ(expected.difference(session->image().device()).value_or("equal"), "equal")
        << image << " is neither old nor new";
    if (by_qemu) {
        EXPECT_TRUE(DiskContent::by_qemu(image) == expected) << image << ": QEMU reads something else";
        if (!session->image().info().snapshots.empty()) {
            expect_snapshots(image);
        }
    }
}

void Judge::expect_snapshots(const std::string& image) {
    for (const auto& [name, content] : snapshots_) {
        EXPECT_TRUE(DiskContent::by_qemu(image, name) == content) << "the snapshot " << name << " has changed";
    }
}

void Judge::as_it_lies(const fs::path& folder) {
    const std::string image = (folder / top_name).string();
    const bool by_qemu = eighth();
    std::string what;
    const int status = qemu_check(image, what);
    EXPECT_TRUE(status == 0 || status == 3) << "as it lies: " << what;
    expect_content(image, by_qemu);
    if (!scenario_.output.empty() && fs::exists(folder / scenario_.output)) {
        EXPECT_EQ(qemu_check((folder / scenario_.output).string(), what), 0) << what;
        expect_content((folder / scenario_.output).string(), by_qemu);
    }
}

/// Our own check looks at each image of the chain, QEMU's at each eighth.
void Judge::expect_clean_chain(const fs::path& folder, bool leaks_allowed) {
    const bool by_qemu = eighth();
    for (const std::string& name : names_in(folder)) {
        if (!name.ends_with(".qcow2")) {
            continue;
        }
        const std::string image = (folder / name).string();
        const CheckReport report =
            open_session({files_, real_doors().processes}, image, Access::read)->image().check();
        EXPECT_EQ(report.errors, 0u) << image;
        EXPECT_TRUE(report.leaks == 0 || leaks_allowed) << image << " leaks " << report.leaks;
        std::string what;
        if (by_qemu) {
            const int status = qemu_check(image, what);
            EXPECT_TRUE(status == 0 || (status == 3 && leaks_allowed)) << what;
        }
    }
}

void Judge::after_recovery(const fs::path& folder, bool leaks_allowed) {
    const std::string image = (folder / top_name).string();
    {
        const auto session = open_session({files_, real_doors().processes}, image, Access::write);
        try {
            recover_job(*session, {}, true);
        } catch (const Error& error) {
            ADD_FAILURE() << "recovery fails: " << error.what();
        }
    }
    const Names names = names_in(folder);
    EXPECT_TRUE(names == old_names_ || names == new_names_)
        << "left in the folder: " << testing::PrintToString(names);
    EXPECT_NO_THROW(expect_content(image, eighth()));
    EXPECT_NO_THROW(expect_clean_chain(folder, leaks_allowed));
}

void Judge::after_another_run(const fs::path& folder) {
    const std::string image = (folder / top_name).string();
    if (!scenario_.output.empty()) {
        fs::remove(folder / scenario_.output);
    }
    try {
        scenario_.run({files_, real_doors().processes}, image);
        scenario_.verify(image, notes_, false);
    } catch (const std::exception& error) {
        ADD_FAILURE() << "the verb once more: " << error.what();
    }
    EXPECT_NO_THROW(expect_clean_chain(folder, false));
    EXPECT_EQ(testing::PrintToString(names_in(folder)), testing::PrintToString(new_names_));
}

} // namespace disktool::test
