// SPDX-License-Identifier: GPL-2.0-or-later
#include "state.h"

#include "damage.h"
#include "disk_text.h"
#include "hibernation.h"
#include "journal.h"

#include <utility>

namespace disktool::ntfs {

namespace {

FilesystemState untrusted(Reason reason, std::string sentence) {
    return {reason, std::move(sentence), false, false};
}

} // namespace

VolumeInformation read_volume_information(const Volume& volume) {
    VolumeInformation information;
    const AttributeData raw = volume.need(volume_file, AttributeType::volume_information);
    if (!raw.resident || raw.size() < 12)
        throw damage(volume.device(), "MFT record 3 ($Volume) holds no volume information");
    information.major_version = little<std::uint8_t>(raw.value, 8);
    information.minor_version = little<std::uint8_t>(raw.value, 9);
    information.flags = little<std::uint16_t>(raw.value, 10);
    if (const std::optional<AttributeData> label = volume.attribute(volume_file, AttributeType::volume_name);
        label && label->resident)
        information.label = disk_text(label->value);
    return information;
}

FilesystemState read_state(const Volume& volume, const VolumeInformation& information) {
    if (hibernated(volume))
        return untrusted(
            Reason::hibernated,
            "a Windows sleeps in it (hibernation or fast startup) and would write as if nothing had "
            "happened; start Windows and shut it down fully: shutdown /s /f /t 0");
    if (information.being_checked())
        return untrusted(Reason::filesystem_being_checked,
                         "chkdsk works on it, or was cut off there; start Windows and let chkdsk end");
    if (information.dirty())
        return untrusted(Reason::filesystem_dirty,
                         "it is marked for a check (not shut down cleanly, or resized since Windows last ran); "
                         "start Windows, let chkdsk run, and shut it down fully: shutdown /s /f /t 0");
    switch (read_journal(volume)) {
    case JournalState::empty:
    case JournalState::clean:
        return {Reason::none, "clean", true, false};
    case JournalState::cached:
        return untrusted(
            Reason::hibernated,
            "Windows keeps part of its metadata elsewhere (fast startup, hibernation), or was cut off "
            "while it ran; start Windows and shut it down fully: shutdown /s /f /t 0");
    case JournalState::open:
        return untrusted(Reason::journal_needs_replay,
                         "Windows was not shut down cleanly and its journal ($LogFile) must be replayed; start "
                         "Windows and shut it down fully: shutdown /s /f /t 0");
    case JournalState::unknown:
        break;
    }
    return untrusted(
        Reason::journal_needs_replay,
        "its journal ($LogFile) is of an unknown version or damaged; start Windows, run chkdsk /f, and "
        "shut it down fully: shutdown /s /f /t 0");
}

} // namespace disktool::ntfs
