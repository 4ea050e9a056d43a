// SPDX-License-Identifier: LGPL-2.1-or-later
// The record of an interrupted job is not lost to a verb that only reads the image.
#include "scenario.h"
#include "support/run.h"
#include "verb/convert.h"

#include <disktool/error.h>

#include <gtest/gtest.h>

namespace disktool::test {

namespace {

TEST(RecordOfAnInterruptedJob, IsNotWrittenOver) {
    TemporaryFolder folder;
    const std::string image = folder / top_name;
    run_tool({"qemu-img", "create", "-q", "-f", "qcow2", image, "1M"});
    write_file(job_record_path(image), "what the next run needs");
    const std::unique_ptr<Session> session = open_session(real_doors(), image, Access::read);
    VerbContext context{*session, Engine::native, nullptr, {}};
    Plan plan = plan_convert_format(context, {"qcow2", folder / "copy.qcow2", false});
    try {
        run_job(*session, plan, {});
        ADD_FAILURE() << "runs";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::recovery);
    }
    EXPECT_EQ(read_file(job_record_path(image)), "what the next run needs");
    EXPECT_FALSE(std::filesystem::exists(folder / "copy.qcow2"));
}

} // namespace

} // namespace disktool::test
