// SPDX-License-Identifier: LGPL-2.1-or-later
// Names of snapshots: "{8-4-4-4-12}" in hexadecimal, kept as written, compared without regard to case.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace disktool::ploop {

class Uuid {
  public:
    Uuid() : text_("{00000000-0000-0000-0000-000000000000}") {}
    /// With or without braces (which are added); none for anything else.
    static std::optional<Uuid> parse(std::string_view text);
    static Uuid random(); ///< version 4, lower case
    static Uuid none() { return {}; }
    static Uuid top(); ///< {5fbaabe3-6958-40ff-92a7-860e329aab41}, of the delta that is written to

    const std::string& text() const { return text_; } ///< with braces
    std::string lower() const;                        ///< text() in lower case: a key for maps
    bool is_none() const { return *this == none(); }
    friend bool operator==(const Uuid& one, const Uuid& other);

  private:
    explicit Uuid(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

} // namespace disktool::ploop
