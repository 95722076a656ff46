// What a drive lists of a pack, and what it reads for it.
#include "tests/support/memory_drive.h"

namespace shoal::test {
namespace {

constexpr PackId kPack{7};
constexpr std::uint32_t kRows = 120;  // several segments, the last one open
constexpr std::uint32_t kBytes = 5000;

// Of five sealed segments: the trailer, and the footer's first page and all of it.
constexpr std::uint64_t kFooterReads = 15;

class DriveListTest : public MemoryDriveTest {
 protected:
  void SetUp() override {
    MemoryDriveTest::SetUp();
    for (std::uint32_t row = 0; row < kRows; ++row)
      ASSERT_TRUE(write(row % 2 == 0 ? kPack : PackId(8), row, kBytes - row, row).ok());
    executor_.run(let_footers_be_written());
  }
  static Task<void> let_footers_be_written() {
    for (int i = 0; i < 1000; ++i) co_await yield();
  }
  std::vector<FragmentInfo> list(FragmentDetail detail, std::uint32_t limit = 1000) {
    auto listed = executor_.run(drive_->list_fragments(kPack, 0, limit, detail));
    EXPECT_TRUE(listed.ok());
    return listed.ok() ? *listed : std::vector<FragmentInfo>();
  }
  void expect_same(const std::vector<FragmentInfo>& a, const std::vector<FragmentInfo>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].key, b[i].key);
      EXPECT_EQ(a[i].shape, b[i].shape);
      EXPECT_EQ(a[i].stored_bytes, b[i].stored_bytes);
      EXPECT_EQ(a[i].log_place, b[i].log_place);
    }
  }
  std::uint64_t reads_of(FragmentDetail detail) {
    const std::uint64_t before = disk_.reads;
    list(detail);
    return disk_.reads - before;
  }
  // The page before a fragment's payload is its batch's summary here.
  Place summary_of(std::uint32_t row) {
    Place place = place_of(kPack, row, kBytes - row, row);
    place.offset -= kPageSize;
    return place;
  }
};

TEST_F(DriveListTest, FootersSayWhatTheRecordsSay) {
  for (int round = 0; round < 2; ++round) {
    const std::vector<FragmentInfo> records = list(FragmentDetail::kRecord);
    ASSERT_EQ(records.size(), kRows / 2);
    EXPECT_EQ(records.at(3).shape->height(0), kBytes - 6);
    expect_same(list(FragmentDetail::kShape), records);
    const std::vector<FragmentInfo> first(records.begin(), records.begin() + 10);
    expect_same(list(FragmentDetail::kShape, 10), first);
    reopen();
  }
}

TEST_F(DriveListTest, ShapesCostAFewReadsOfEachSegment) {
  EXPECT_EQ(reads_of(FragmentDetail::kIndexed), 0U);
  EXPECT_GE(reads_of(FragmentDetail::kRecord), kRows / 2);
  EXPECT_LE(reads_of(FragmentDetail::kShape), kFooterReads);
}

TEST_F(DriveListTest, ADamagedSummaryIsFoundByTheListingThatReadsRecords) {
  flip(summary_of(4), 100);
  EXPECT_EQ(list(FragmentDetail::kShape).size(), kRows / 2);
  EXPECT_TRUE(damaged().empty());
  EXPECT_EQ(list(FragmentDetail::kRecord).size(), kRows / 2 - 1);
  ASSERT_EQ(damaged().size(), 1U);
  EXPECT_EQ(damaged()[0].key.row, 4U);
}

TEST_F(DriveListTest, WithoutAFooterTheRecordsAreRead) {
  const std::vector<FragmentInfo> all = list(FragmentDetail::kShape);
  const Place first = summary_of(0);
  flip({first.file, first.file->bytes.size() - kPageSize}, 10);  // the trailer
  expect_same(list(FragmentDetail::kShape), all);
  EXPECT_GT(reads_of(FragmentDetail::kShape), kFooterReads);
}

TEST_F(DriveListTest, WhatIsRewrittenOrDeletedIsListedAsItIsNow) {
  flip(place_of(kPack, 2, kBytes - 2, 2));
  ASSERT_EQ(read_code(kPack, 2), StatusCode::kCorruption);
  ASSERT_TRUE(repair(kPack, 2, kBytes - 2, 2).ok());
  ASSERT_TRUE(executor_.run(drive_->delete_rows(kPack, {6})).ok());
  const std::vector<FragmentInfo> now = list(FragmentDetail::kShape);
  EXPECT_EQ(now.size(), kRows / 2 - 1);
  expect_same(now, list(FragmentDetail::kRecord));
  EXPECT_GT(now.at(1).log_place, now.at(2).log_place);
}

}  // namespace
}  // namespace shoal::test
