// SPDX-License-Identifier: LGPL-2.1-or-later
// Random work on a disk and, beside it, on a plain run of bytes: both must hold the same at every moment.
#include "made_delta.h"
#include "support/run.h"

#include <random>

namespace disktool::ploop::engine_test {
namespace {

struct Setting {
    const char* name;
    Version version;
    std::uint32_t cluster_sectors;
    std::size_t deltas; ///< 1..3
    bool raw_base;
    unsigned operations;
    std::uint64_t most_clusters;
};

std::ostream& operator<<(std::ostream& out, const Setting& setting) {
    return out << setting.name;
}

class Model {
  public:
    explicit Model(const Setting& setting, unsigned seed)
        : setting_(setting), random_(seed), unit_(setting.cluster_sectors * sector_size) {
        for (std::size_t level = 0; level < setting.deltas; ++level) {
            files_.push_back(made_layer(level));
        }
        open();
        bytes_ = content_of(*disk_);
    }

    void step() {
        const unsigned dice = number(1000);
        if (dice < 450) {
            compare();
        } else if (dice < 800) {
            write();
        } else if (dice < 880) {
            zero();
        } else if (dice < 960) {
            discard();
        } else if (dice < 985) {
            disk_->flush();
        } else if (dice < 988) {
            compact();
        } else if (dice < 991) {
            grow();
        } else if (dice < 994) {
            shrink();
        } else if (dice < 999) {
            reopen();
        } else {
            reopen_dirty();
        }
    }

    void compare_all() { ASSERT_TRUE(same_bytes(content_of(*disk_), bytes_)); }

    /// The end of it: everything is closed, and another program looks at it.
    void finish() {
        disk_->end();
        compare_all();
        disk_.reset();
        if (setting_.deltas == 1 && !setting_.raw_base) {
            const disktool::test::TemporaryFolder folder;
            store(folder / "a", *files_.back());
            EXPECT_EQ(complaints_by_qemu(folder / "a"), "");
            EXPECT_TRUE(content_by_qemu(folder / "a") == bytes_);
        }
    }

  private:
    unsigned number(std::uint64_t below) { return static_cast<unsigned>(random_() % below); }
    bool raw(std::size_t level) const { return level == 0 && setting_.raw_base; }

    HeapFile::Content made_layer(std::size_t level) {
        const std::uint64_t clusters = 1 + number(setting_.most_clusters);
        if (raw(level)) {
            return std::make_shared<Bytes>(
                pattern(clusters * unit_ - (setting_.deltas > 1 ? 5 * 512 : 0), 100));
        }
        const auto content = made_content(small_delta(clusters, setting_.version, setting_.cluster_sectors));
        if (level + 1 < setting_.deltas) {
            const auto delta = opened(content);
            delta->begin();
            for (std::uint64_t cluster = 0; cluster < clusters; ++cluster) {
                if (number(2) == 0) {
                    delta->allocate(cluster, pattern(unit_, number(200)));
                }
            }
            delta->end();
        }
        return content;
    }

    std::unique_ptr<Delta> layer(std::size_t level, Access access, bool dirty_too) {
        return raw(level) ? Delta::open_raw(std::make_unique<HeapFile>(files_[level]), access,
                                            setting_.cluster_sectors)
                          : opened(files_[level], access, dirty_too);
    }

    void open(bool dirty_too = false) {
        std::vector<std::unique_ptr<Delta>> deltas, below;
        for (std::size_t level = 0; level + 1 < files_.size(); ++level) {
            deltas.push_back(layer(level, Access::read, false));
            below.push_back(layer(level, Access::read, false));
        }
        deltas.push_back(layer(files_.size() - 1, Access::write, dirty_too));
        disk_ = std::make_unique<ChainDevice>(std::move(deltas), "disk");
        // As long as the disk may become, with nothing of its own.
        below.push_back(opened(
            made_content(small_delta(setting_.most_clusters, setting_.version, setting_.cluster_sectors))));
        below_ = content_of(*std::make_unique<ChainDevice>(std::move(below), "below"));
        disk_->begin();
    }

    Range range() {
        if (bytes_.empty()) {
            return {};
        }
        const std::uint64_t at =
            number(4) == 0 ? number(bytes_.size() / unit_ + 1) * unit_ % bytes_.size() : number(bytes_.size());
        std::uint64_t length = number(3) == 0 ? 1 + number(5 * unit_) : 1 + number(5000);
        if (number(4) == 0) {
            length = length / unit_ * unit_;
        }
        return {at, std::min<std::uint64_t>(length, bytes_.size() - at)};
    }
    std::span<std::byte> model(Range range) { return std::span(bytes_).subspan(range.offset, range.length); }

    void compare() {
        const Range part = range();
        Bytes read(part.length);
        disk_->read(part.offset, read);
        ASSERT_TRUE(same_bytes(read, model(part))) << part.offset << "+" << part.length;
        std::uint64_t at = part.offset;
        for (const Extent& extent : disk_->extents(part)) {
            ASSERT_EQ(extent.range.offset, at);
            ASSERT_TRUE(extent.kind == ExtentKind::data || all_zero(model(extent.range)));
            at = extent.range.end();
        }
        ASSERT_EQ(at, part.end());
    }
    void write() {
        const Range part = range();
        Bytes data = pattern(part.length, number(1000));
        disk_->write(part.offset, data);
        std::ranges::copy(data, model(part).begin());
    }
    void zero() {
        const Range part = range();
        disk_->zero(part);
        std::ranges::fill(model(part), std::byte{0});
    }
    /// Each byte of it is then zero or what it was, and stays so.
    void discard() {
        const Range part = range();
        disk_->discard(part);
        Bytes read(part.length);
        disk_->read(part.offset, read);
        const auto before = model(part);
        const bool simple = all_zero(read) || same_bytes(read, before);
        for (std::size_t i = simple ? read.size() : 0; i < read.size(); ++i) {
            ASSERT_TRUE(read[i] == std::byte{0} || read[i] == before[i]) << part.offset + i;
        }
        std::ranges::copy(read, before.begin());
    }
    void compact() {
        Delta& top = disk_->top();
        top.compact(number(2) == 0 ? UINT64_MAX : number(5));
        if (number(2) == 0) {
            top.compact();
            if (!top.raw()) {
                ASSERT_EQ(top.hole_count(), 0u);
                ASSERT_EQ(files_.back()->size(), top.file_clusters() * unit_);
                ASSERT_EQ(top.file_clusters(), top.header().data_start() + top.allocated_clusters());
            }
        }
    }
    void grow() {
        Delta& top = disk_->top();
        const std::uint64_t clusters =
            std::max(top.clusters(), std::min(top.clusters() + number(6), setting_.most_clusters));
        top.grow(clusters * setting_.cluster_sectors);
        const std::size_t before = bytes_.size();
        bytes_.resize(clusters * unit_);
        for (std::size_t i = before; i < std::min(bytes_.size(), below_.size()); ++i) {
            bytes_[i] = below_[i]; // of a base that is longer than the disk was
        }
        compare_all();
    }
    void shrink() {
        Delta& top = disk_->top();
        const std::uint64_t clusters = top.clusters() - number(std::min<std::uint64_t>(6, top.clusters()));
        top.shrink(clusters * setting_.cluster_sectors);
        bytes_.resize(clusters * unit_);
        compare_all();
    }
    void reopen() {
        disk_->end();
        open();
        compare_all();
    }
    /// As after a kill just behind a flush.
    void reopen_dirty() {
        disk_->flush();
        open(true);
        compare_all();
    }

    const Setting setting_;
    std::mt19937_64 random_;
    const std::uint64_t unit_;
    std::vector<HeapFile::Content> files_; ///< base first
    std::unique_ptr<ChainDevice> disk_;
    Bytes bytes_; ///< what it must hold
    Bytes below_; ///< what lies below the top
};

class PloopModel : public testing::TestWithParam<Setting> {};

TEST_P(PloopModel, HoldsTheSameAsPlainBytes) {
    for (unsigned seed = 1; seed <= (disktool::test::long_form() ? 8 : 4); ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        Model model(GetParam(), seed);
        for (unsigned i = 0; i < GetParam().operations; ++i) {
            ASSERT_NO_FATAL_FAILURE(model.step()) << "step " << i;
        }
        ASSERT_NO_FATAL_FAILURE(model.finish());
    }
}

INSTANTIATE_TEST_SUITE_P(Settings, PloopModel,
                         testing::Values(Setting{"v1", Version::v1, 64, 1, false, 10000, 24},
                                         Setting{"v2", Version::v2, 64, 1, false, 10000, 24},
                                         Setting{"v1_128", Version::v1, 128, 1, false, 4000, 12},
                                         Setting{"v2_2048", Version::v2, 2048, 1, false, 150, 6},
                                         Setting{"chain2", Version::v2, 64, 2, false, 8000, 24},
                                         Setting{"chain3", Version::v1, 64, 3, false, 8000, 24},
                                         Setting{"raw", Version::v2, 64, 1, true, 4000, 24},
                                         Setting{"raw_base", Version::v2, 64, 3, true, 8000, 24}),
                         [](const auto& setting) { return setting.param.name; });

} // namespace
} // namespace disktool::ploop::engine_test
