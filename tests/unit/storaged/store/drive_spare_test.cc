// The segment that is made ready while another one fills.
#include "storaged/limits.h"
#include "tests/support/memory_drive.h"

namespace shoal::storaged {
namespace {

class DriveSpareTest : public test::MemoryDriveTest {
 protected:
  DriveSpareTest() {
    options_.segment_bytes = kSegmentBytes;
    options_.max_bytes = 256 << 20;
  }

  std::uint64_t written_bytes(std::size_t segment) {
    std::size_t at = 0;
    for (const auto& [name, file] : disk_.files) {
      if (name.rfind("segment-", 0) == 0 && at++ == segment)
        return file->written_pages.size() * kPageSize;
    }
    return 0;
  }
  // Until the first segment holds so much.
  void fill_to(std::uint64_t bytes) {
    while (filled_ + kBytes <= bytes) {
      ASSERT_TRUE(write(PackId(1), row_, kBytes, row_).ok());
      ++row_;
      filled_ += kBytes + kPageSize;  // with its summary
      executor_.run_ready();
    }
  }
  // Timers that are due by then ring.
  void pass(Duration time) {
    const MonotonicTime end = clock_.now() + time;
    executor_.run_until_idle(end);
    clock_.advance_to(end);
  }

  static constexpr std::uint64_t kSegmentBytes = 8 << 20;
  static constexpr std::uint32_t kBytes = 60 << 10;
  std::uint32_t row_ = 0;
  std::uint64_t filled_ = kPageSize;
};

TEST_F(DriveSpareTest, TheFirstOneIsReadyAtOnce) {
  executor_.run_until_idle();
  EXPECT_EQ(written_bytes(0), kSegmentBytes);
}

TEST_F(DriveSpareTest, ZerosAreWrittenAtThePaceOfTheOthersWrites) {
  for (int percent = 5; percent < 95; percent += 5) {
    fill_to(kSegmentBytes * static_cast<std::uint64_t>(percent) / 100);
    const std::uint64_t allowed = filled_ * 100 / kPrewriteLeadPercent;
    EXPECT_LE(written_bytes(1), allowed + kPrewritePieceBytes + kPageSize) << percent;
    EXPECT_GE(written_bytes(1), std::min(allowed, kSegmentBytes) - 2 * kPageSize) << percent;
  }
  EXPECT_EQ(written_bytes(1), kSegmentBytes);
  EXPECT_EQ(written_bytes(2), 0U);
}

TEST_F(DriveSpareTest, AllZerosAreWrittenWhenNobodyUsesTheDrive) {
  fill_to(kSegmentBytes / 4);
  pass(kPrewriteQuiet * 9 / 10);
  EXPECT_LT(written_bytes(1), kSegmentBytes / 2);
  pass(kPrewriteQuiet / 5);
  EXPECT_EQ(written_bytes(1), kSegmentBytes);
  EXPECT_EQ(written_bytes(2), 0U);
}

TEST_F(DriveSpareTest, ADriveThatIsReadNowAndThenIsInUse) {
  fill_to(kSegmentBytes / 4);
  const std::uint64_t paced = written_bytes(1);
  for (int i = 0; i < 100; ++i) {
    pass(kPrewriteQuiet / 10);
    expect_content(PackId(1), 0, kBytes, 0);
  }
  EXPECT_LE(written_bytes(1), paced + kPrewritePieceBytes);
}

TEST_F(DriveSpareTest, WhatARebuildWritesNeedsNoZeros) {
  executor_.run_until_idle();
  const std::uint64_t before = disk_.write_bytes;
  for (std::uint32_t row = 0; row < 200; ++row)
    ASSERT_TRUE(repair(PackId(1), row, kBytes, row).ok());
  executor_.run_until_idle();
  const std::uint64_t each = round_up(kBytes, kPageSize) + kPageSize;
  EXPECT_LT(disk_.write_bytes - before, 200 * each * 11 / 10);
}

TEST_F(DriveSpareTest, OneThatAStopLeftUnfinishedIsFinishedLater) {
  fill_to(kSegmentBytes / 4);
  close();
  const std::uint64_t written = written_bytes(1);
  EXPECT_GT(written, 0U);
  EXPECT_LT(written, kSegmentBytes);
  ASSERT_TRUE(open().ok());
  fill_to(kSegmentBytes * 9 / 10);
  EXPECT_EQ(written_bytes(1), kSegmentBytes);
  EXPECT_EQ(written_bytes(2), 0U);
  for (std::uint32_t row = 0; row < row_; ++row) expect_content(PackId(1), row, kBytes, row);
}

TEST_F(DriveSpareTest, WhoNeedsItDoesNotWaitForThePace) {
  // One batch fills what is left of the segment: the next one is needed before it is written.
  fill_to(kSegmentBytes / 4);
  std::vector<Task<Status>> writes;
  for (std::uint32_t i = 0; i < 150; ++i)
    writes.push_back(drive_->write_fragment(test::make_write(PackId(2), i, kBytes, i)));
  for (const Status& status : executor_.run(when_all(std::move(writes))))
    EXPECT_TRUE(status.ok()) << status.to_string();
  EXPECT_EQ(written_bytes(1), kSegmentBytes);
  for (std::uint32_t i = 0; i < 150; ++i) expect_content(PackId(2), i, kBytes, i);
}

TEST_F(DriveSpareTest, AFailureWhileItIsWrittenIsTheDrives) {
  fill_to(kSegmentBytes / 8);
  const std::uint64_t before = written_bytes(1);
  // Each write is one of the device; the zeros that become due behind one of them fail.
  for (std::uint32_t i = 0; i < 40 && drive_->status().state == "up"; ++i) {
    disk_.writes_left = 1;
    ASSERT_TRUE(write(PackId(1), 10'000 + i, kBytes, 1).ok());
    executor_.run_ready();
  }
  EXPECT_TRUE(drive_->status().state.starts_with("failed")) << drive_->status().state;
  EXPECT_EQ(written_bytes(1), before);
  EXPECT_EQ(write(PackId(1), 20'000, kBytes, 1).code(), StatusCode::kIoError);
}

}  // namespace
}  // namespace shoal::storaged
