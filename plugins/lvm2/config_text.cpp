// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config_text.h"

#include <algorithm>
#include <charconv>

namespace disktool::lvm2 {

namespace {

constexpr int depth_limit = 16;
constexpr std::size_t item_limit = 1'000'000;

class Parser {
  public:
    explicit Parser(std::string_view text) : text_(text.substr(0, text.find('\0'))) {}

    ConfigNode parse() {
        ConfigNode root;
        root.section = true;
        fill(root, 0);
        if (at_ < text_.size())
            fail("a } too many");
        return root;
    }

  private:
    [[noreturn]] void fail(const char* what) const { throw ConfigError(at_, what); }

    void count() {
        if (++items_ > item_limit)
            fail("too many names and values");
    }

    void skip_space() {
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == '#')
                at_ = std::min(text_.find('\n', at_), text_.size());
            else if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v')
                ++at_;
            else
                return;
        }
    }

    bool accept(char c) {
        skip_space();
        if (at_ >= text_.size() || text_[at_] != c)
            return false;
        ++at_;
        return true;
    }

    void fill(ConfigNode& section, int depth) {
        if (depth > depth_limit)
            fail("sections within sections, too deep");
        for (skip_space(); at_ < text_.size() && text_[at_] != '}'; skip_space()) {
            count();
            ConfigNode child;
            child.name = word();
            if (accept('{')) {
                child.section = true;
                fill(child, depth + 1);
                if (!accept('}'))
                    fail("a section without its }");
            } else if (accept('=')) {
                values(child);
            } else {
                fail("a name without = or {");
            }
            section.children.push_back(std::move(child));
        }
        refuse_doubles(section);
    }

    void refuse_doubles(const ConfigNode& section) const {
        std::vector<std::string_view> names;
        names.reserve(section.children.size());
        for (const ConfigNode& child : section.children)
            names.push_back(child.name);
        std::ranges::sort(names);
        if (std::ranges::adjacent_find(names) != names.end())
            fail("a section that has two entries of one name");
    }

    void values(ConfigNode& node) {
        if (!accept('[')) {
            node.values.push_back(value());
            return;
        }
        while (!accept(']')) {
            node.values.push_back(value());
            if (!accept(',')) {
                if (!accept(']'))
                    fail("a list without its ]");
                return;
            }
        }
    }

    ConfigValue value() {
        count();
        skip_space();
        if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\''))
            return quoted();
        const std::size_t start = at_;
        const std::string text = word();
        std::int64_t number = 0;
        const char* end = text.data() + text.size();
        if (const auto [stop, error] = std::from_chars(text.data(), end, number);
            error == std::errc() && stop == end)
            return number;
        double fraction = 0;
        if (const auto [stop, error] = std::from_chars(text.data(), end, fraction);
            error == std::errc() && stop == end)
            return fraction;
        at_ = start;
        fail("neither a number nor a string in quotes");
    }

    /// Within double quotes a backslash stands before a quote or a backslash.
    std::string quoted() {
        const char quote = text_[at_++];
        std::string result;
        for (; at_ < text_.size(); ++at_) {
            char c = text_[at_];
            if (c == quote) {
                ++at_;
                return result;
            }
            if (c == '\\' && quote == '"' && at_ + 1 < text_.size())
                c = text_[++at_];
            result += c;
        }
        fail("a string without its closing quote");
    }

    std::string word() {
        skip_space();
        const std::size_t end = std::min(text_.find_first_of(" \t\n\r\f\v#={}[],\"'", at_), text_.size());
        if (end == at_)
            fail("a name is missing");
        std::string result(text_.substr(at_, end - at_));
        at_ = end;
        return result;
    }

    std::string_view text_;
    std::size_t at_ = 0;
    std::size_t items_ = 0;
};

} // namespace

const ConfigNode* ConfigNode::find(std::string_view child) const {
    const auto found = std::ranges::find(children, child, &ConfigNode::name);
    return found == children.end() ? nullptr : &*found;
}

ConfigNode parse_config(std::string_view text) {
    return Parser(text).parse();
}

} // namespace disktool::lvm2
