// What background reads cost the device when many wait, and when few do.
#include "storaged/store/read_merger.h"

#include "storaged/limits.h"
#include "tests/support/memory_drive.h"

namespace shoal::storaged {
namespace {

constexpr PackId kPack{make_pack_id(PgId(1), 1)};

class ReadMergerTest : public test::MemoryDriveTest {
 protected:
  ReadMergerTest() { options_.segment_bytes = 8 << 20; }

  void SetUp() override {
    MemoryDriveTest::SetUp();
    for (std::uint32_t row = 0; row < kRows; ++row)
      ASSERT_TRUE(write(kPack, row, kBytes, row).ok());
    disk_.reads = disk_.read_bytes = disk_.largest_read = 0;
  }
  // Every `step`th row, all at once, in an order of their own.
  std::vector<Result<Buffer>> read_side_by_side(std::uint32_t step, bool background) {
    std::vector<Task<Result<Buffer>>> reads;
    for (std::uint32_t i = 0; i * step < kRows; ++i) {
      ReadFragmentRequest request = test::make_read(kPack, row_of(i, step), 0, kBytes);
      request.background = background;
      reads.push_back(drive_->read_fragment(request));
    }
    return executor_.run(when_all(std::move(reads)));
  }
  static std::uint32_t row_of(std::uint32_t i, std::uint32_t step) {
    return i * 37 % (kRows / step) * step;
  }
  static void expect_row(const Result<Buffer>& bytes, std::uint32_t row) {
    ASSERT_TRUE(bytes.ok()) << bytes.status().to_string();
    const WriteFragmentRequest written = test::make_write(kPack, row, kBytes, row);
    EXPECT_EQ(bytes->view(), flatten(written.payload).view()) << "row " << row;
  }

  static constexpr std::uint32_t kBytes = 16 << 10;
  static constexpr std::uint32_t kRows = 200;  // a page of summary each
};

TEST_F(ReadMergerTest, WhatWaitsIsReadInTheOrderOfTheLogAndInFewPieces) {
  const auto all = read_side_by_side(1, true);
  for (std::uint32_t i = 0; i < kRows; ++i) expect_row(all[i], row_of(i, 1));
  EXPECT_GT(disk_.largest_read, kMaxMergedReadBytes / 2);
  EXPECT_LE(disk_.largest_read, kMaxMergedReadBytes);
  EXPECT_LT(disk_.reads, kRows / 8);
  EXPECT_LT(disk_.read_bytes, kRows * (kBytes + kPageSize) * 5 / 4);
}

TEST_F(ReadMergerTest, WhatLiesFarApartIsReadAlone) {
  const auto all = read_side_by_side(4, true);
  for (std::uint32_t i = 0; i < kRows / 4; ++i) expect_row(all[i], row_of(i, 4));
  EXPECT_EQ(disk_.reads, kRows / 4);
  EXPECT_EQ(disk_.read_bytes, disk_.reads * (kBytes + kPageSize));
}

TEST_F(ReadMergerTest, OneAfterTheOtherNothingWaits) {
  for (std::uint32_t row = 0; row < kRows; ++row) {
    ReadFragmentRequest request = test::make_read(kPack, row, 0, kBytes);
    request.background = true;
    expect_row(executor_.run(drive_->read_fragment(request)), row);
  }
  EXPECT_EQ(disk_.reads, kRows);
}

TEST_F(ReadMergerTest, OthersReadsDoNotWait) {
  const auto all = read_side_by_side(1, false);
  for (std::uint32_t i = 0; i < kRows; ++i) expect_row(all[i], row_of(i, 1));
  EXPECT_EQ(disk_.reads, kRows);
}

TEST_F(ReadMergerTest, APageThatCannotBeReadHurtsOnlyItsFragment) {
  const std::uint32_t bad = 100;
  const std::uint64_t page = 1 + std::uint64_t{bad} * (kBytes / kPageSize + 1) + 2;
  disk_.files.at(segment_name(1))->unreadable_pages.insert(page);
  const auto all = read_side_by_side(1, true);
  for (std::uint32_t i = 0; i < kRows; ++i) {
    const std::uint32_t row = row_of(i, 1);
    if (row == bad) {
      EXPECT_EQ(all[i].status().code(), StatusCode::kIoError);
    } else {
      expect_row(all[i], row);
    }
  }
  ASSERT_EQ(drive_->damaged_fragments({}, 10).size(), 1U);
}

}  // namespace
}  // namespace shoal::storaged
