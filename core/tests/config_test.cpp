// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/config.h"
#include "support/temporary_folder.h"

#include <disktool/error.h>
#include <disktool/size.h>

#include <gtest/gtest.h>

#include <cstdlib>

namespace disktool {
namespace {

/// What parse_config says of a text that is wrong.
std::string complaint(const std::string& text) {
    try {
        parse_config(text, "x.yaml");
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::usage);
        return error.what();
    }
    return "none";
}

TEST(Config, AllKeys) {
    const Config config = parse_config("plugin-path: [/opt/plugins, /srv/plugins]\n"
                                       "allow-backing:\n"
                                       "  - /srv/templates\n"
                                       "engine: appliance\n"
                                       "wait: 30\n"
                                       "appliance:\n"
                                       "  acceleration: kvm\n"
                                       "  memory: 1024\n"
                                       "  boot-timeout: 60\n",
                                       "x.yaml");
    EXPECT_EQ(config.plugin_path, (std::vector<std::string>{"/opt/plugins", "/srv/plugins"}));
    EXPECT_EQ(config.allow_backing, std::vector<std::string>{"/srv/templates"});
    EXPECT_EQ(config.engine, Engine::appliance);
    EXPECT_EQ(config.wait, std::chrono::seconds(30));
    EXPECT_EQ(config.appliance.acceleration, ApplianceConfig::Acceleration::kvm);
    EXPECT_EQ(config.appliance.memory, 1 * GiB);
    EXPECT_EQ(config.appliance.boot_timeout, std::chrono::seconds(60));
    EXPECT_EQ(config.source, "x.yaml");
}

TEST(Config, EmptyFileIsAllDefaults) {
    for (const char* text : {"", "# nothing but a comment\n", "---\n"}) {
        const Config config = parse_config(text, "x.yaml");
        EXPECT_TRUE(config.plugin_path.empty());
        EXPECT_EQ(config.engine, Engine::automatic);
        EXPECT_EQ(config.wait, std::nullopt);
        EXPECT_EQ(config.appliance.memory, 0u);
    }
}

TEST(Config, WaitByWord) {
    EXPECT_EQ(parse_config("wait: forever\n", "x.yaml").wait, std::chrono::seconds(0));
    EXPECT_EQ(parse_config("wait: never\n", "x.yaml").wait, std::nullopt);
}

TEST(Config, ComplaintsNameFileAndLine) {
    EXPECT_EQ(complaint("engine: native\nengin: auto\n"),
              "x.yaml:2: unknown key \"engin\"; known are plugin-path, allow-backing, engine, wait, appliance");
    EXPECT_EQ(complaint("engine: native\nwait: 3\nengine: auto\n"),
              "x.yaml:3: the key \"engine\" is there twice");
    EXPECT_EQ(complaint("\n\nengine: fast\n"),
              "x.yaml:3: engine must be auto, native or appliance, not \"fast\"");
    EXPECT_EQ(complaint("engine: [native]\n"), "x.yaml:1: engine must be a single text");
    EXPECT_EQ(complaint("allow-backing: /srv\n"), "x.yaml:1: allow-backing must be a list");
    EXPECT_EQ(complaint("allow-backing:\n- /srv\n- templates\n"),
              "x.yaml:3: \"templates\" must be an absolute path");
    EXPECT_EQ(complaint("appliance:\n  memory: 1G\n"), "x.yaml:2: memory must be a whole number, not \"1G\"");
    EXPECT_EQ(complaint("appliance:\n  memory: 1\n"), "x.yaml:2: 1 is not between 256 and 1048576");
    EXPECT_EQ(complaint("appliance:\n  acceleration: tcg\n"),
              "x.yaml:2: acceleration must be auto, kvm or emulation, not \"tcg\"");
    EXPECT_EQ(complaint("appliance:\n  speed: 1\n"),
              "x.yaml:2: unknown key \"speed\"; known are acceleration, memory, boot-timeout");
    EXPECT_EQ(complaint("appliance: 3\n"), "x.yaml:1: appliance must be a mapping (key: value)");
    EXPECT_EQ(complaint("wait: 0\n"), "x.yaml:1: 0 is not between 1 and 31536000");
    EXPECT_EQ(complaint("wait: 18446744073709551616\n"),
              "x.yaml:1: wait must be a whole number, not \"18446744073709551616\"");
    EXPECT_EQ(complaint("- a\n- b\n"), "x.yaml:1: the document must be a mapping (key: value)");
    EXPECT_EQ(complaint("engine: native\n  wait: 3\n").substr(0, 27), "x.yaml:2: not valid YAML: i");
}

TEST(Config, TheFileThatTheEnvironmentNames) {
    const test::TemporaryFolder folder;
    test::write_file(folder / "my.yaml", "engine: native\n");
    ASSERT_EQ(::setenv("DISKTOOL_CONFIG", (folder / "my.yaml").c_str(), 1), 0);
    const Config config = load_config();
    EXPECT_EQ(config.engine, Engine::native);
    EXPECT_EQ(config.source, folder / "my.yaml");

    ASSERT_EQ(::setenv("DISKTOOL_CONFIG", (folder / "missing.yaml").c_str(), 1), 0);
    try {
        load_config();
        ADD_FAILURE() << "a missing file was accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::not_found);
        EXPECT_NE(std::string(error.what()).find(folder / "missing.yaml"), std::string::npos);
    }
    ::unsetenv("DISKTOOL_CONFIG");
}

TEST(Config, EngineNames) {
    for (const Engine engine : {Engine::automatic, Engine::native, Engine::appliance}) {
        EXPECT_EQ(engine_by_name(name(engine)), engine);
    }
    EXPECT_EQ(engine_by_name("qemu"), std::nullopt);
}

/// The example of docs/config.md is a real one.
TEST(Config, DocumentedExampleIsValid) {
    const std::string page = test::read_file(DISKTOOL_SOURCE_DIR "/docs/config.md");
    const std::size_t start = page.find("```yaml\n");
    ASSERT_NE(start, std::string::npos);
    const std::string example = page.substr(start + 8, page.find("```", start + 8) - start - 8);
    const Config config = parse_config(example, "docs/config.md");
    EXPECT_FALSE(config.plugin_path.empty());
    EXPECT_FALSE(config.allow_backing.empty());
    EXPECT_TRUE(config.wait.has_value());
    EXPECT_NE(config.appliance.memory, 0u);
}

} // namespace
} // namespace disktool
