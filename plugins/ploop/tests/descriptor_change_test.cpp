// SPDX-License-Identifier: LGPL-2.1-or-later
// Changes of descriptors, beside what the original made of the same.
#include "descriptor_samples.h"

namespace disktool::ploop::descriptor_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(DescriptorChangeTest, SnapshotsMakeTheChain) {
    Descriptor descriptor = Descriptor::make(8192, 64, DiskMode::expanded, "root.hds");
    descriptor.add_snapshot(u1, file_in("chain3", u2));
    descriptor.add_snapshot(u2, file_in("chain3", Uuid::top()));
    EXPECT_EQ(descriptor.text(), text_of_original("chain3"));
    EXPECT_EQ(parse(descriptor.text()).text(), descriptor.text());
}

TEST(DescriptorChangeTest, SnapshotsOfRaw) {
    Descriptor descriptor = original("raw-chain2");
    descriptor.remove_leaf(Uuid::top());
    ASSERT_TRUE(descriptor.images.at(0).raw);
    descriptor.add_snapshot(u1, file_in("raw-chain2", Uuid::top()));
    EXPECT_EQ(descriptor.text(), text_of_original("raw-chain2"));
    EXPECT_FALSE(descriptor.images.at(1).raw);
    descriptor.merge(Uuid::top(), "root.hds");
    EXPECT_TRUE(descriptor.images.at(0).raw);
    EXPECT_EQ(descriptor.images.at(0).uuid, Uuid::top());
}

TEST(DescriptorChangeTest, TemporarySnapshot) {
    Descriptor descriptor = original("before-grow");
    descriptor.add_snapshot(u1, "root.hds.x", true);
    EXPECT_TRUE(descriptor.snapshot(u1)->temporary);
    EXPECT_THAT(descriptor.text(), HasSubstr("000000000000}</ParentGUID>\n      <Temporary/>\n    </Shot>"));
    const Descriptor again = parse(descriptor.text());
    EXPECT_TRUE(again.snapshot(u1)->temporary);
    EXPECT_FALSE(again.snapshot(Uuid::top())->temporary);
    EXPECT_EQ(again.text(), descriptor.text());
    expect_invalid([&] { descriptor.switch_to(u1, "f"); }, "temporary");
    expect_invalid([&] { descriptor.set_temporary(Uuid::top(), true); }, "temporary");
    descriptor.set_temporary(u1, false);
    EXPECT_THAT(descriptor.text(), Not(HasSubstr("Temporary")));
    descriptor.set_temporary(u1, true);
    descriptor.remove_leaf(Uuid::top());
    EXPECT_FALSE(descriptor.snapshot(Uuid::top())->temporary) << "the new top can be written to";
}

TEST(DescriptorChangeTest, SwitchMakesATree) {
    Descriptor descriptor = original("chain3");
    descriptor.switch_to(u1, file_in("chain3-switched-u1", Uuid::top()));
    EXPECT_EQ(descriptor.text(), text_of_original("chain3-switched-u1"));
    Descriptor tree = Descriptor::make(8192, 64, DiskMode::expanded, "root.hds");
    tree.add_snapshot(u1, file_in("tree", u2));
    tree.add_snapshot(u2, "forgotten");
    tree.switch_to(u1, file_in("tree", Uuid::top()));
    EXPECT_EQ(tree.text(), text_of_original("tree"));
}

TEST(DescriptorChangeTest, SwitchToTheParentOfTheTop) {
    Descriptor descriptor = original("chain3");
    descriptor.switch_to(u2, "root.hds.new");
    EXPECT_EQ(descriptor.text(),
              with(text_of_original("chain3"), file_in("chain3", Uuid::top()), "root.hds.new"));
}

TEST(DescriptorChangeTest, SwitchThatKeepsTheOldTop) {
    Descriptor descriptor = original("chain3");
    descriptor.switch_to(u1, "new", u3);
    EXPECT_EQ(descriptor.image(u3)->file, file_in("chain3", Uuid::top()));
    EXPECT_EQ(descriptor.snapshot(u3)->parent, u2);
    EXPECT_EQ(descriptor.image(Uuid::top())->file, "new");
    EXPECT_EQ(parse(descriptor.text()).text(), descriptor.text());
}

TEST(DescriptorChangeTest, MergeOfTheTop) {
    Descriptor descriptor = original("chain3");
    descriptor.merge(Uuid::top(), file_in("chain3", u2));
    EXPECT_EQ(descriptor.text(), text_of_original("chain3-merged-top"));
}

TEST(DescriptorChangeTest, MergeIntoANewFile) {
    Descriptor descriptor = original("chain3");
    descriptor.merge(Uuid::top(), "/d/new.hds");
    EXPECT_EQ(descriptor.text(), text_of_original("chain3-merged-new"));
    EXPECT_EQ(descriptor.image(Uuid::top())->path, "/d/new.hds");
}

TEST(DescriptorChangeTest, MergeIntoTheBase) {
    Descriptor descriptor = original("chain3");
    descriptor.merge(u2, "root.hds");
    EXPECT_EQ(descriptor.text(), text_of_original("chain3-deleted-u1"));
    descriptor.merge(Uuid::top(), "root.hds");
    EXPECT_EQ(descriptor.text(), text_of_original("chain3-merged-all"));
    expect_invalid([&] { descriptor.merge(Uuid::top(), "root.hds"); }, "base image");
    expect_invalid([&] { descriptor.merge(u3, "root.hds"); }, "no snapshot");
}

TEST(DescriptorChangeTest, MergeKeepsParentsBeforeChildrenAndTheTreeWhole) {
    Descriptor descriptor = original("chain3-switched-u1"); // U1 with the children U2 and top
    descriptor.merge(Uuid::top(), "root.hds");
    EXPECT_EQ(descriptor.snapshot(u2)->parent, Uuid::top());
    EXPECT_EQ(descriptor.snapshots.at(0).uuid, Uuid::top());
    EXPECT_EQ(parse(descriptor.text()).text(), descriptor.text());
}

TEST(DescriptorChangeTest, RemovingTheTop) {
    Descriptor descriptor = original("chain3");
    descriptor.remove_leaf(Uuid::top());
    EXPECT_THAT(descriptor.chain(Uuid::top()), ElementsAre(u1, Uuid::top()));
    EXPECT_EQ(descriptor.image(Uuid::top())->file, file_in("chain3", u2));
    EXPECT_EQ(descriptor.text(), text_of_original("chain3-merged-top")) << "the same entries are left";
    descriptor.remove_leaf(Uuid::top());
    EXPECT_EQ(descriptor.text(), text_of_original("chain3-merged-all"));
    expect_invalid([&] { descriptor.remove_leaf(Uuid::top()); }, "base image");
}

TEST(DescriptorChangeTest, RemovingOthers) {
    Descriptor tree = original("tree");
    const std::string before = tree.text();
    expect_invalid([&] { tree.remove_leaf(u1); }, "has snapshots on it");
    expect_invalid([&] { tree.remove_leaf(Uuid::top()); }, "other snapshots on it");
    EXPECT_EQ(refusal([&] { tree.remove_leaf(u3); }).exit(), Exit::no_snapshot);
    EXPECT_EQ(tree.text(), before);
    tree.remove_leaf(u2);
    EXPECT_THAT(tree.chain(Uuid::top()), ElementsAre(u1, Uuid::top()));
    EXPECT_EQ(tree.images.size(), 2u);
    EXPECT_NO_THROW(parse(tree.text()));
}

TEST(DescriptorChangeTest, WhatIsRefused) {
    Descriptor descriptor = original("chain3");
    expect_invalid([&] { descriptor.add_snapshot(u2, "f"); }, "already exists");
    expect_invalid([&] { descriptor.add_snapshot(Uuid::top(), "f"); }, "reserved");
    expect_invalid([&] { descriptor.add_snapshot(Uuid::none(), "f"); }, "reserved");
    expect_invalid([&] { descriptor.switch_to(u3, "f"); }, "no snapshot");
    expect_invalid([&] { descriptor.switch_to(Uuid::top(), "f"); }, "already at");
    expect_invalid([&] { descriptor.switch_to(u1, "f", u2); }, "already exists");
    EXPECT_EQ(descriptor.text(), text_of_original("chain3"));
}

TEST(DescriptorChangeTest, FilesInsideAreStoredRelative) {
    Descriptor descriptor = original("before-grow");
    descriptor.add_snapshot(u1, "/d/below/new");
    EXPECT_EQ(descriptor.images[1].file, "below/new");
    EXPECT_EQ(descriptor.images[1].path, "/d/below/new");
    descriptor.add_snapshot(u2, "/dd/new");
    EXPECT_EQ(descriptor.images[2].file, "/dd/new");
    EXPECT_EQ(descriptor.images[2].path, "/dd/new");
}

TEST(DescriptorChangeTest, CopiesAreApart) {
    const Descriptor descriptor = original("chain3");
    Descriptor copy = descriptor;
    copy.switch_to(u1, "f");
    EXPECT_EQ(descriptor.text(), text_of_original("chain3"));
    copy = descriptor;
    EXPECT_EQ(copy.text(), text_of_original("chain3"));
}

} // namespace
} // namespace disktool::ploop::descriptor_test
