// SPDX-License-Identifier: LGPL-2.1-or-later
// The list beside what the original was seen to print.
#include "descriptor_samples.h"
#include "snapshot_list.h"

#include <nlohmann/json.hpp>

namespace disktool::ploop::descriptor_test {
namespace {

const std::string top = "{5fbaabe3-6958-40ff-92a7-860e329aab41}";
const std::string one = "{11111111-1111-1111-1111-111111111111}";
const std::string two = "{22222222-2222-2222-2222-222222222222}";
const std::string none = "{00000000-0000-0000-0000-000000000000}";

/// The disk of the original's printed example.
Descriptor example() {
    Descriptor descriptor = Descriptor::parse(text_of_original("before-grow"), "d", "/d");
    descriptor.add_snapshot(u1, "root.hds.{ff81f774-bf17-421f-aa4f-3848452aff03}");
    return descriptor;
}

TEST(SnapshotListTest, AsTheOriginal) {
    EXPECT_EQ(
        snapshot_list_text(example(), {}),
        "PARENT_UUID                            C UUID                                   FNAME               "
        "             \n"
        "{00000000-0000-0000-0000-000000000000}   {11111111-1111-1111-1111-111111111111} /d/root.hds\n"
        "{11111111-1111-1111-1111-111111111111} * {5fbaabe3-6958-40ff-92a7-860e329aab41} "
        "/d/root.hds.{ff81f774-bf17-421f-aa4f-3848452aff03}\n");
}

TEST(SnapshotListTest, WithoutHeader) {
    const std::string whole = snapshot_list_text(example(), {});
    EXPECT_EQ(snapshot_list_text(example(), {.header = false}), whole.substr(whole.find('\n') + 1));
}

TEST(SnapshotListTest, Fields) {
    const Descriptor descriptor = example();
    EXPECT_EQ(snapshot_list_text(descriptor, {.header = false, .fields = "uuid"}), one + "\n" + top + "\n");
    EXPECT_EQ(snapshot_list_text(descriptor, {.header = false, .fields = "UUID,Current"}),
              one + " \n" + top + " *\n");
    EXPECT_EQ(snapshot_list_text(descriptor, {.header = false, .fields = "current"}), "\n*\n");
    EXPECT_EQ(snapshot_list_text(descriptor, {.header = false, .fields = "current,parent_uuid"}),
              "  " + none + "\n* " + one + "\n");
    EXPECT_EQ(snapshot_list_text(descriptor, {.fields = "current,uuid"}),
              "C UUID                                   \n  " + one + "\n* " + top + "\n");
    EXPECT_EQ(snapshot_list_text(descriptor, {.header = false, .fields = "fname,uuid"}).substr(0, 34),
              "/d/root.hds                      {");
    EXPECT_EQ(snapshot_list_text(descriptor, {.fields = "fname"}).substr(0, 46),
              "FNAME                            \n/d/root.hds\n");
}

TEST(SnapshotListTest, PaddingCountsBytes) {
    Descriptor descriptor = example();
    descriptor.images[0].path = "/ä";
    EXPECT_EQ(snapshot_list_text(descriptor, {.header = false, .fields = "fname,current"}).substr(0, 36),
              "/ä" + std::string(29, ' ') + " \n/d");
}

TEST(SnapshotListTest, SnapshotsOnly) {
    const Descriptor chain = original("chain3");
    EXPECT_EQ(snapshot_list_text(chain, {.header = false, .fields = "uuid,current", .snapshots = true}),
              one + " \n" + two + " *\n");
    const Descriptor tree = original("tree");
    EXPECT_EQ(snapshot_list_text(tree, {.header = false, .fields = "uuid,current", .snapshots = true}),
              one + " *\n" + two + " \n");
    EXPECT_EQ(snapshot_list_text(original("before-grow"), {.header = false, .snapshots = true}), "");
}

TEST(SnapshotListTest, FromOneDownToTheBase) {
    const Descriptor chain = original("chain3");
    const auto from = [&](const Uuid& uuid) {
        return snapshot_list_text(chain, {.header = false, .fields = "uuid", .uuid = uuid});
    };
    EXPECT_EQ(from(u2), two + "\n" + one + "\n");
    EXPECT_EQ(from(Uuid::top()), top + "\n" + two + "\n" + one + "\n");
    EXPECT_EQ(from(u1), one + "\n");
}

TEST(SnapshotListTest, Refusals) {
    const auto sentence = [](const SnapshotListOptions& options) {
        const PloopError error = refusal([&] { snapshot_list_text(original("chain3"), options); });
        EXPECT_EQ(exit_code_of(error), 1);
        return std::string(error.what());
    };
    EXPECT_EQ(sentence({.fields = "uuid,foo"}), "Unknown field: foo");
    EXPECT_EQ(sentence({.fields = "uuid,"}), "Unknown field: ");
    EXPECT_EQ(sentence({.uuid = u3}), "Can't find snapshot by uuid {33333333-3333-3333-3333-333333333333}");
    EXPECT_EQ(refusal([&] { snapshot_list_json(original("chain3"), {.uuid = u3}); }).exit(),
              Exit::no_memory_or_failure);
}

TEST(SnapshotListTest, Json) {
    Descriptor descriptor = example();
    descriptor.set_temporary(u1, true);
    const nlohmann::json list = snapshot_list_json(
        descriptor, {.path_of = [](const ImageEntry& entry) { return "/elsewhere/" + entry.file; }});
    EXPECT_EQ(list.at(0), (nlohmann::json{{"uuid", one},
                                          {"parent_uuid", none},
                                          {"current", false},
                                          {"temporary", true},
                                          {"fname", "/elsewhere/root.hds"}}));
    EXPECT_EQ(list.at(1).at("current"), true);
    EXPECT_EQ(list.size(), 2u);
    EXPECT_EQ(snapshot_list_json(original("before-grow"), {.snapshots = true}).dump(), "[]");
}

} // namespace
} // namespace disktool::ploop::descriptor_test
