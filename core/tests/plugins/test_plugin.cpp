// SPDX-License-Identifier: LGPL-2.1-or-later
// A format of a few lines, for tests of what the core does around formats. An image is a text: "test-format",
// then a line each as needed: "backing NAME", "format NAME" (of the backing image), "data NAME" (a data file),
// and "torn" where a job was interrupted, which mending turns into "well".
#include <disktool/error.h>
#include <disktool/plugin.h>

#include <optional>
#include <sstream>

#ifndef TEST_API_VERSION
#define TEST_API_VERSION disktool::plugin_api_version
#endif
#ifndef TEST_ABI_EPOCH
#define TEST_ABI_EPOCH disktool::plugin_abi_epoch
#endif
#ifndef TEST_STRUCT_SIZE
#define TEST_STRUCT_SIZE sizeof(disktool::PluginDeclaration)
#endif
#ifndef TEST_KIND
#define TEST_KIND disktool::PluginKind::format
#endif
#ifndef TEST_DECLARED_NAME
#define TEST_DECLARED_NAME TEST_PLUGIN_NAME
#endif

namespace {

using namespace disktool;

std::string text_of(File& file) {
    std::string text(file.status().size, '\0');
    file.read(0, std::as_writable_bytes(std::span(text)));
    return text;
}

class TextDevice final : public BlockDevice {
  public:
    explicit TextDevice(File& file) : file_(file) {}
    std::uint64_t size() const override { return file_.status().size; }
    std::string name() const override { return file_.path(); }
    void read(std::uint64_t offset, std::span<std::byte> buffer) override { file_.read(offset, buffer); }

  private:
    File& file_;
};

/// Mending is refused where the text also says "beyond repair".
class MendStep final : public Step {
  public:
    explicit MendStep(File& file) : file_(file) {}
    std::string kind() const override { return "test.mend"; }
    std::string text() const override { return "mend what is torn"; }
    std::string needs_no_undo() const override { return "Mending again does no harm."; }
    void commit(StepContext&) override {
        const std::string text = text_of(file_);
        if (text.find("beyond repair") != std::string::npos) {
            throw Error(ErrorCode::damaged, "the test image is beyond repair");
        }
        file_.write(text.find("torn"), std::as_bytes(std::span("well", 4)));
        file_.sync();
    }

  private:
    File& file_;
};

class TestImage final : public Image {
  public:
    explicit TestImage(std::unique_ptr<ImageOpener> opener)
        : opener_(std::move(opener)), device_(opener_->file()) {
        info_.path = opener_->file().path();
        info_.format = TEST_PLUGIN_NAME;
        info_.chain.push_back({info_.path, info_.format, device_.size(), 0});
        read_lines();
        if (backing_) {
            const std::vector<ChainMember>& chain = backing_->info().chain;
            info_.chain.insert(info_.chain.end(), chain.begin(), chain.end());
        }
    }
    const ImageInfo& info() const override { return info_; }
    BlockDevice& device() override { return device_; }
    std::optional<Refusal> refusal(Capability) const override { return std::nullopt; }
    void plan_mend(Plan& plan) override {
        if (text_of(opener_->file()).find("torn") != std::string::npos) {
            plan.add(std::make_unique<MendStep>(opener_->file()));
        }
    }

  private:
    void read_lines() {
        std::string backing, format;
        std::istringstream lines(text_of(opener_->file()));
        for (std::string line; std::getline(lines, line);) {
            if (line.starts_with("backing ")) {
                backing = line.substr(8);
            } else if (line.starts_with("format ")) {
                format = line.substr(7);
            } else if (line.starts_with("data ")) {
                info_.data_file = line.substr(5);
                data_ = opener_->open_data_file(info_.data_file);
            }
        }
        if (!backing.empty()) {
            backing_ = opener_->open_backing(backing, format);
        }
    }

    std::unique_ptr<ImageOpener> opener_;
    TextDevice device_;
    std::unique_ptr<Image> backing_;
    std::unique_ptr<File> data_;
    ImageInfo info_;
};

class TestFormat final : public FormatPlugin {
  public:
    int probe(std::span<const std::byte>, const std::string&) override { return 100; }
    std::unique_ptr<Image> open(std::unique_ptr<ImageOpener> opener) override {
        return std::make_unique<TestImage>(std::move(opener));
    }
};

[[maybe_unused]] void* make_plugin() {
#ifdef TEST_NO_OBJECT
    return nullptr;
#else
    return static_cast<FormatPlugin*>(new TestFormat);
#endif
}

} // namespace

#ifndef TEST_NO_SYMBOL
extern "C" DISKTOOL_API const disktool::PluginDeclaration disktool_plugin_declaration;
const disktool::PluginDeclaration disktool_plugin_declaration = {
    TEST_STRUCT_SIZE,   TEST_ABI_EPOCH, TEST_API_VERSION,    TEST_KIND,
    TEST_DECLARED_NAME, "1.0",          "LGPL-2.1-or-later", make_plugin};
#endif
