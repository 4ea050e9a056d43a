// SPDX-License-Identifier: LGPL-2.1-or-later
// DiskDescriptor.xml from a hostile hand: read, written, read again, and changed. An Error is a good answer;
// any other exception, a sanitizer's report, a time-out, or a text of ours that is not read as the same is a
// finding.
#include "descriptor.h"
#include "ploop_error.h"
#include "snapshot_list.h"

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string_view>

namespace disktool::ploop {
namespace {

constexpr std::size_t largest = 1 << 20; ///< what load() reads

void demand(bool condition) {
    if (!condition) {
        std::abort();
    }
}

Descriptor parse(std::string_view text) {
    return Descriptor::parse(text, "/d/DiskDescriptor.xml", "/d");
}

/// What we write must say the same, and be written the same again.
void write_and_read(const Descriptor& descriptor) {
    const std::string text = descriptor.text();
    if (text.size() > largest) {
        return;
    }
    const Descriptor again = parse(text);
    demand(again.text() == text);
    demand(again.images.size() == descriptor.images.size());
    demand(again.snapshots.size() == descriptor.snapshots.size());
    demand(again.chain(again.top).size() == descriptor.chain(descriptor.top).size());
    for (std::size_t i = 0; i < again.images.size(); ++i) {
        demand(again.images[i].uuid == descriptor.images[i].uuid);
        demand(again.images[i].file == descriptor.images[i].file);
        demand(again.images[i].raw == descriptor.images[i].raw);
    }
    demand(again.disk_sectors == descriptor.disk_sectors && again.mode == descriptor.mode &&
           again.key_id == descriptor.key_id && again.top == descriptor.top);
}

void change(const Descriptor& descriptor, const std::function<void(Descriptor&)>& action) {
    Descriptor changed = descriptor;
    try {
        action(changed);
    } catch (const Error&) { // refused; then nothing has changed
        demand(changed.text() == descriptor.text());
        return;
    }
    write_and_read(changed);
}

void look(std::string_view text) {
    const Descriptor descriptor = parse(text);
    write_and_read(descriptor);
    snapshot_list_text(descriptor, {.uuid = descriptor.top});
    const Uuid fresh = Uuid::parse("{0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f}").value();
    const Uuid some = descriptor.snapshots.front().uuid;
    change(descriptor, [](Descriptor& changed) { changed.modernise(); });
    change(descriptor, [](Descriptor& changed) { changed.set_size(1 << 20); });
    change(descriptor, [&](Descriptor& changed) { changed.add_snapshot(fresh, "new", true); });
    change(descriptor, [&](Descriptor& changed) { changed.switch_to(some, "/d/new"); });
    change(descriptor, [&](Descriptor& changed) { changed.switch_to(some, "/e/new", fresh); });
    change(descriptor, [&](Descriptor& changed) { changed.merge(changed.top, "new"); });
    change(descriptor, [&](Descriptor& changed) { changed.remove_leaf(changed.top); });
    change(descriptor, [&](Descriptor& changed) { changed.remove_leaf(some); });
}

} // namespace
} // namespace disktool::ploop

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        disktool::ploop::look({reinterpret_cast<const char*>(data), size});
    } catch (const disktool::ploop::PloopError&) { // the answer to damage
    }
    return 0;
}
