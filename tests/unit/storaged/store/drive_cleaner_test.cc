// A drive that fills up: who may still write, and what the cleaner wins back.
#include <vector>

#include "base/random.h"
#include "storaged/limits.h"
#include "tests/support/memory_drive.h"

namespace shoal::storaged {
namespace {

using test::make_write;

class DriveCleanerTest : public test::MemoryDriveTest {
 protected:
  DriveCleanerTest() { options_.max_bytes = 10 << 20; }

  // Fragments of `bytes`, one after the other, until the drive refuses. Returns how many.
  std::uint32_t fill(std::uint32_t bytes) {
    for (std::uint32_t row = 0;; ++row) {
      const Status status = write(PackId(1), row, bytes, row);
      if (status.ok()) continue;
      EXPECT_EQ(status.code(), StatusCode::kNoSpace);
      return row;
    }
  }
  Status reclaim(std::uint32_t row, std::uint32_t bytes) {
    WriteFragmentRequest request = make_write(PackId(2), row, bytes, row);
    request.reclaiming = true;
    return write(std::move(request));
  }
  std::uint64_t cleaned_bytes() { return drive_->status().cleaned_bytes; }
};

TEST_F(DriveCleanerTest, WhatGivesSpaceBackIsTakenWhenOthersAreRefused) {
  fill(60'000);
  EXPECT_EQ(drive_->status().state, "full");
  EXPECT_EQ(drive_->status().free_bytes, 0U);
  std::uint32_t taken = 0;
  while (reclaim(taken, 60'000).ok()) ++taken;
  // At least the segments that are kept for it, less one that is shared.
  EXPECT_GE(taken, (kReclaimSegments - 1) * options_.segment_bytes / 65'536);
  EXPECT_EQ(write(PackId(1), 100'000, 60'000, 1).code(), StatusCode::kNoSpace);
  // Deletions find room even now.
  EXPECT_TRUE(executor_.run(drive_->delete_pack(PackId(2))).ok());
  executor_.run_until_idle();
  EXPECT_TRUE(reclaim(50'000, 60'000).code() != StatusCode::kNoSpace ||
              drive_->status().free_bytes == 0);
  for (std::uint32_t row = 0; row < 20; ++row) expect_content(PackId(1), row, 60'000, row);
}

TEST_F(DriveCleanerTest, AFullDriveOfHalfDeadSegmentsTakesWritesAgain) {
  for (const std::uint32_t bytes : {4096U, 20'000U}) {
    close();
    disk_.files.clear();
    ASSERT_TRUE(open().ok());
    const std::uint32_t rows = fill(bytes);
    SeededRandom random(bytes);
    std::vector<std::uint32_t> dead;
    std::vector<bool> live(rows, true);
    for (std::uint32_t row = 0; row < rows; ++row) {
      if (random.below(2) == 0) continue;
      dead.push_back(row);
      live[row] = false;
    }
    ASSERT_TRUE(executor_.run(drive_->delete_rows(PackId(1), dead)).ok());
    executor_.run_until_idle();
    EXPECT_GT(cleaned_bytes(), 0U);
    EXPECT_GE(drive_->status().free_bytes, options_.segment_bytes);
    EXPECT_TRUE(write(PackId(3), 0, bytes, 1).ok());
    for (int round = 0; round < 2; ++round) {
      for (std::uint32_t row = 0; row < rows; ++row) {
        if (live[row]) {
          expect_content(PackId(1), row, bytes, row);
        } else {
          EXPECT_EQ(read_code(PackId(1), row), StatusCode::kNotFound);
        }
      }
      reopen();
    }
  }
}

// Each fragment that came alone has a page of summary to itself: half of a segment, though nothing
// in it is dead. Copies share summaries, so it is copied once and never again.
TEST_F(DriveCleanerTest, WhatLivesIsNotCopiedForever) {
  fill(4096);
  executor_.run_until_idle();
  const std::uint64_t used = drive_->status().used_bytes;
  const std::uint64_t cleaned = cleaned_bytes();
  EXPECT_LE(cleaned, 2 * used);
  executor_.run_until_idle();
  EXPECT_EQ(cleaned_bytes(), cleaned);
}

}  // namespace
}  // namespace shoal::storaged
