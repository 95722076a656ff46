// A drive that fills up: who may still write, and what the cleaner wins back.
#include <cstring>
#include <map>
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
  // A start that finds what was open closed: a header is damaged, or the last batch is torn.
  void reopen_with_all_sealed() {
    close();
    for (const auto& [name, file] : disk_.files) {
      if (name.rfind("segment-", 0) != 0) continue;
      SegmentHeader header{};
      BatchHeader first{};
      std::memcpy(&header, file->bytes.data(), sizeof header);
      std::memcpy(&first, file->bytes.data() + kPageSize, sizeof first);
      if (first.magic == kBatchMagic && first.generation == header.generation)
        file->bytes[offsetof(SegmentHeader, crc)] ^= std::byte{1};
    }
    ASSERT_TRUE(open().ok());
    executor_.run_until_idle();
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

// Every dead segment has something to say again and none is free for it: each time the log goes on
// in a new segment, as the one before was closed by the start.
TEST_F(DriveCleanerTest, AFullDriveCanBeEmptiedHoweverOftenItsOpenSegmentsAreClosed) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    close();
    disk_.files.clear();
    options_.max_bytes = 10 * options_.segment_bytes;
    ASSERT_TRUE(open().ok());
    SeededRandom random(seed);
    std::map<std::pair<PackId, std::uint32_t>, std::uint32_t> live;
    for (std::uint32_t row = 0;; ++row) {
      const PackId pack(1 + random.below(6));
      if (!write(pack, row, 4096, row).ok()) break;
      live[{pack, row}] = row;
    }
    ASSERT_GT(live.size(), 100U);
    std::size_t refused = 0;
    while (!live.empty()) {
      ASSERT_LT(refused, 100U) << "seed " << seed << ": " << live.size() << " rows left";
      const PackId pack = live.begin()->first.first;
      std::vector<std::uint32_t> rows;
      for (const auto& [at, content] : live)
        if (at.first == pack && (rows.empty() || random.below(8) == 0)) rows.push_back(at.second);
      const bool crashes = random.below(2) == 0;
      if (crashes) disk_.writes_left = random.below(12);
      const Status deleted = executor_.run(drive_->delete_rows(pack, rows));
      executor_.run_until_idle();
      if (deleted.ok()) {
        for (const std::uint32_t row : rows) live.erase({pack, row});
      } else if (!crashes) {
        ASSERT_EQ(deleted.code(), StatusCode::kNoSpace);
        ++refused;
      }
      disk_.writes_left = ~std::uint64_t{0};
      reopen_with_all_sealed();
      for (const auto& [at, content] : live) expect_content(at.first, at.second, 4096, content);
      EXPECT_EQ(drive_->status().fragment_count, live.size());
    }
    EXPECT_GT(drive_->status().free_bytes, 0U) << "seed " << seed;
    EXPECT_TRUE(write(PackId(9), 0, 4096, 1).ok()) << "seed " << seed;
  }
}

// A medium that cannot be read for a while: copies that empty no segment, and then deletions, have
// taken what was kept for them, and each segment holds a little that lives.
TEST_F(DriveCleanerTest, AFullDriveOfSegmentsThatEachHoldALittleTakesWritesAgain) {
  const std::uint32_t rows = fill(4096);
  std::vector<std::uint32_t> dead;
  for (std::uint32_t row = 0; row < rows; ++row) {
    if (row % 7 != 0) {
      dead.push_back(row);
      continue;
    }
    const Place place = place_of(PackId(1), row, 4096, row);
    if (place.file->unreadable_pages.empty())
      place.file->unreadable_pages.insert(place.offset / kPageSize);
  }
  const auto remove = [&](std::uint32_t row) {
    const Status deleted = executor_.run(drive_->delete_rows(PackId(1), {row}));
    executor_.run_until_idle();
    return deleted;
  };
  std::size_t next = 0;
  while (next < dead.size() && remove(dead[next]).ok()) ++next;
  ASSERT_LT(next, dead.size()) << "deletions have not used up what is kept for them";
  for (const auto& [name, file] : disk_.files) file->unreadable_pages.clear();
  reopen();
  (void)remove(dead[next]);  // it looks for space, at least
  for (; next < dead.size(); ++next) ASSERT_TRUE(remove(dead[next]).ok()) << dead[next];
  EXPECT_GT(drive_->status().free_bytes, 0U);
  EXPECT_TRUE(write(PackId(3), 0, 4096, 1).ok());
  for (int round = 0; round < 2; ++round) {
    for (std::uint32_t row = 0; row < rows; row += 7) expect_content(PackId(1), row, 4096, row);
    reopen();
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
