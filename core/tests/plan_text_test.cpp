// SPDX-License-Identifier: LGPL-2.1-or-later
#include "plan/plan_text.h"

#include <disktool/size.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace disktool {
namespace {

struct PlainStep final : Step {
    PlainStep(std::string text, Cost cost, std::string engine)
        : text_(std::move(text)), cost_(cost), engine_(std::move(engine)) {}
    std::string kind() const override { return "test.plain"; }
    std::string text() const override { return text_; }
    Cost cost() const override { return cost_; }
    Details details() const override {
        return {{"clusters", std::uint64_t{1} << 40}, {"sorted", true}, {"method", "punch"}};
    }
    std::string engine() const override { return engine_; }
    void commit(StepContext&) override {}
    std::string needs_no_undo() const override { return "It does nothing."; }

    std::string text_;
    Cost cost_;
    std::string engine_;
};

Plan example() {
    Plan plan("compact", "/disks/a.qcow2");
    plan.add(std::make_unique<PlainStep>("free 120 clusters", Cost{.read = 1 * MiB, .discarded = 3 * GiB},
                                         "native"));
    plan.add(
        std::make_unique<PlainStep>("write the table", Cost{.written = 17 * KiB, .space = 64 * KiB}, "qemu"));
    plan.add(std::make_unique<PlainStep>("look", Cost{}, "native"));
    plan.note("partition 2 is left alone: its file system is not known");
    return plan;
}

TEST(PlanText, OneLineAStepThenTheNotes) {
    EXPECT_EQ(plan_text(example()), "1. free 120 clusters (native, reads 1 MiB, gives back 3 GiB)\n"
                                    "2. write the table (qemu, writes 17 KiB, needs free space of 64 KiB)\n"
                                    "3. look (native)\n"
                                    "Note: partition 2 is left alone: its file system is not known\n");
}

TEST(PlanText, AnEmptyPlanSaysSo) {
    Plan plan("compact", "/disks/a.qcow2");
    plan.note("all is compact already");
    EXPECT_EQ(plan_text(plan), "Nothing to do.\nNote: all is compact already\n");
}

TEST(PlanJson, HoldsEverythingInOrder) {
    const nlohmann::ordered_json json = plan_json(example());
    EXPECT_EQ(json.dump().substr(0, 67),
              R"({"verb":"compact","image":"/disks/a.qcow2","steps":[{"kind":"test.p)");
    EXPECT_EQ(json["steps"].size(), 3u);
    EXPECT_EQ(json["steps"][0]["text"], "free 120 clusters");
    EXPECT_EQ(json["steps"][1]["engine"], "qemu");
    EXPECT_EQ(json["steps"][0]["details"].dump(),
              R"({"clusters":1099511627776,"sorted":true,"method":"punch"})");
    EXPECT_EQ(json["steps"][1]["cost"].dump(), R"({"read":0,"written":17408,"discarded":0,"space":65536})");
    EXPECT_EQ(json["cost"].dump(), R"({"read":1048576,"written":17408,"discarded":3221225472,"space":65536})");
    EXPECT_EQ(json["notes"].size(), 1u);
}

TEST(PlanJson, AnEmptyPlanHasListsAllTheSame) {
    const nlohmann::ordered_json json = plan_json(Plan("resize", "/d"));
    EXPECT_EQ(json.dump(), R"({"verb":"resize","image":"/d","steps":[],"notes":[],)"
                           R"("cost":{"read":0,"written":0,"discarded":0,"space":0}})");
}

} // namespace
} // namespace disktool
