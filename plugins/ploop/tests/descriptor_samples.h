// SPDX-License-Identifier: LGPL-2.1-or-later
// Descriptors that the original wrote (the folder descriptors), and what tests do with them.
#pragma once

#include "descriptor.h"
#include "ploop_error.h"
#include "support/temporary_folder.h"

#include <gmock/gmock.h>

#include <functional>
#include <stdexcept>
#include <string>

namespace disktool::ploop::descriptor_test {

inline const std::string of_original = DISKTOOL_SOURCE_DIR "/plugins/ploop/tests/descriptors/";
inline const Uuid u1 = Uuid::parse("11111111-1111-1111-1111-111111111111").value();
inline const Uuid u2 = Uuid::parse("22222222-2222-2222-2222-222222222222").value();
inline const Uuid u3 = Uuid::parse("33333333-3333-3333-3333-333333333333").value();

inline std::string text_of_original(const std::string& name) {
    return disktool::test::read_file(of_original + name + ".xml");
}
inline Descriptor original(const std::string& name) {
    return Descriptor::parse(text_of_original(name), name, "/d");
}
inline Descriptor parse(const std::string& text) {
    return Descriptor::parse(text, "/d/DiskDescriptor.xml", "/d");
}
/// The file that an image of the original has.
inline std::string file_in(const std::string& name, const Uuid& uuid) {
    return original(name).image(uuid)->file;
}

/// The first `from` becomes `to`; it must be there.
inline std::string with(std::string text, const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    if (at == std::string::npos) {
        throw std::logic_error("not in the text: " + from);
    }
    return text.replace(at, from.size(), to);
}

inline std::string with_all(std::string text, const std::string& from, const std::string& to) {
    std::size_t count = 0;
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
        text.replace(at, from.size(), to);
        ++count;
    }
    if (count == 0) {
        throw std::logic_error("not in the text: " + from);
    }
    return text;
}
/// The first element `name` gets another content.
inline std::string with_value(std::string text, const std::string& name, const std::string& value) {
    const std::string begin = "<" + name + ">";
    const std::size_t at = text.find(begin) + begin.size();
    return text.replace(at, text.find("</" + name, at) - at, value);
}
/// Without the line that holds the first element `name`.
inline std::string without_line(std::string text, const std::string& name) {
    const std::size_t at = text.rfind('\n', text.find("<" + name + ">"));
    return text.erase(at, text.find('\n', at + 1) - at);
}

inline PloopError refusal(const std::function<void()>& action) {
    try {
        action();
    } catch (const PloopError& error) {
        return error;
    }
    throw std::logic_error("it was not refused");
}
inline void expect_refused(const std::string& text, const std::string& says) {
    const PloopError error = refusal([&] { parse(text); });
    EXPECT_EQ(error.exit(), Exit::bad_descriptor);
    EXPECT_EQ(error.code(), ErrorCode::damaged);
    EXPECT_THAT(error.what(), testing::HasSubstr(says));
    EXPECT_THAT(error.what(), testing::StartsWith("/d/DiskDescriptor.xml: "));
}
inline void expect_invalid(const std::function<void()>& action, const std::string& says) {
    const PloopError error = refusal(action);
    EXPECT_EQ(error.exit(), Exit::invalid_parameter) << error.what();
    EXPECT_THAT(error.what(), testing::HasSubstr(says));
}

} // namespace disktool::ploop::descriptor_test
