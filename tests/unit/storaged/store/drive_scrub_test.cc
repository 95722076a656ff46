// Scrub: what it finds, what it mends, and how it keeps out of the way.
#include "storaged/limits.h"
#include "storaged/log/record_codec.h"
#include "tests/support/memory_drive.h"

namespace shoal::storaged {
namespace {

const PackId kPack(7);
constexpr std::uint32_t kBytes = 20'000;

class DriveScrubTest : public test::MemoryDriveTest {
 protected:
  void write_rows(std::uint32_t from, std::uint32_t to) {
    for (std::uint32_t row = from; row < to; ++row)
      ASSERT_TRUE(write(kPack, row, kBytes, row).ok());
    executor_.run_ready();
  }
  Place row_place(std::uint32_t row) { return place_of(kPack, row, kBytes, row); }
  ScrubStatus scrub_status() { return drive_->status().scrub; }
  void start_scrub(std::uint64_t bytes_per_second = 0) {
    ASSERT_TRUE(executor_.run(scrub(ScrubAction::kStart, bytes_per_second)).ok());
  }
  Task<Status> scrub(ScrubAction action, std::uint64_t bytes_per_second) {
    co_return drive_->scrub(action, bytes_per_second);
  }
  // Runs a whole pass; how long it took on the drive's clock.
  Duration run_pass(std::uint64_t bytes_per_second = 0) {
    const std::uint64_t before = scrub_status().passes;
    const MonotonicTime begin = clock_.now();
    start_scrub(bytes_per_second);
    for (int i = 0; i < 10'000 && scrub_status().passes == before; ++i) {
      executor_.run_ready();
      if (scrub_status().passes == before) executor_.run_until_idle(executor_.next_timer());
    }
    EXPECT_EQ(scrub_status().passes, before + 1);
    return clock_.now() - begin;
  }
  std::set<std::uint32_t> damaged_rows() {
    std::set<std::uint32_t> rows;
    for (const DamagedFragment& one : damaged()) rows.insert(one.key.row);
    return rows;
  }
};

TEST_F(DriveScrubTest, AWholeDriveHasNoDamageAndAllOfItIsRead) {
  write_rows(0, 40);
  ASSERT_TRUE(write(kPack, 100, 1 << 17, 100).ok());
  run_pass();
  EXPECT_TRUE(damaged().empty());
  EXPECT_EQ(scrub_status().bytes_done, scrub_status().bytes_total);
  EXPECT_EQ(scrub_status().bytes_total, (40 * 5 + 32) * kPageSize);
  EXPECT_GT(scrub_status().last_finished_ns, 0);
}

TEST_F(DriveScrubTest, EveryKindOfDamageIsFoundAndNothingElseIsListed) {
  write_rows(0, 40);
  const Place summary = row_place(2);
  flip({summary.file, summary.offset - kPageSize}, 100);
  flip(row_place(5), kBytes - 1);
  const Place unreadable = row_place(8);
  unreadable.file->unreadable_pages.insert(unreadable.offset / kPageSize + 2);
  flip(row_place(39), 4096);  // in the open segment
  run_pass();
  EXPECT_EQ(damaged_rows(), (std::set<std::uint32_t>{2, 5, 8, 39}));
  for (const std::uint32_t row : {2U, 5U, 8U, 39U})
    ASSERT_TRUE(repair(kPack, row, kBytes, row).ok());
  EXPECT_TRUE(damaged().empty());
  run_pass();
  EXPECT_TRUE(damaged().empty());
  for (std::uint32_t row = 0; row < 40; ++row) expect_content(kPack, row, kBytes, row);
}

TEST_F(DriveScrubTest, DeadFragmentsAreNobodysDamage) {
  write_rows(0, 20);
  flip(row_place(3));
  ASSERT_TRUE(executor_.run(drive_->delete_rows(kPack, {3})).ok());
  run_pass();
  EXPECT_TRUE(damaged().empty());
}

TEST_F(DriveScrubTest, WhatCanBeReadAgainIsTakenOffTheList) {
  write_rows(0, 5);
  const Place place = row_place(2);
  place.file->unreadable_pages = {place.offset / kPageSize};
  EXPECT_EQ(read_code(kPack, 2), StatusCode::kIoError);
  EXPECT_EQ(damaged_rows(), std::set<std::uint32_t>{2});
  place.file->unreadable_pages.clear();
  run_pass();
  EXPECT_TRUE(damaged().empty());
}

TEST_F(DriveScrubTest, ALostFooterIsMendedByMovingWhatLives) {
  write_rows(0, 40);
  const Place place = row_place(0);
  ASSERT_TRUE(place.file != row_place(39).file);
  flip({place.file, place.file->bytes.size() - kPageSize}, 8);
  run_pass();
  executor_.run_ready();
  EXPECT_TRUE(damaged().empty());
  EXPECT_NE(row_place(39).file, place.file);
  for (int round = 0; round < 2; ++round) {
    for (std::uint32_t row = 0; row < 40; ++row) expect_content(kPack, row, kBytes, row);
    EXPECT_EQ(fragments(), 40U);
    reopen();
  }
}

TEST_F(DriveScrubTest, HeadersAndSuperblocksAreWrittenAgain) {
  write_rows(0, 20);
  const Place header{row_place(0).file, 0};
  const auto before = header.file->bytes;
  flip(header, 20);
  auto& superblock = disk_.files.at("superblock")->bytes;
  const auto superblock_before = superblock;
  superblock[10] ^= std::byte{1};
  superblock[3 * kPageSize + 50] ^= std::byte{1};
  run_pass();
  EXPECT_TRUE(header.file->bytes == before);
  EXPECT_TRUE(superblock == superblock_before);
  EXPECT_TRUE(damaged().empty());
}

TEST_F(DriveScrubTest, TheRateIsKeptAndReadsAreSmall) {
  write_rows(0, 100);
  ASSERT_TRUE(write(kPack, 500, 1 << 17, 500).ok());
  disk_.read_bytes = disk_.largest_read = 0;
  const Duration slow = run_pass(1 << 20);
  const double seconds = std::chrono::duration<double>(slow).count();
  const double read = static_cast<double>(disk_.read_bytes);
  EXPECT_GT(seconds, 0.8 * read / (1 << 20));
  EXPECT_LT(seconds, 1.3 * read / (1 << 20));
  EXPECT_LE(disk_.largest_read, 256U << 10);
  // Little is read that is not payload: summaries, headers, footers, and what a window takes along.
  EXPECT_LT(read, 2.0 * static_cast<double>(scrub_status().bytes_total));
  EXPECT_LT(run_pass(8 << 20), slow / 4);
}

TEST_F(DriveScrubTest, APassGoesOnBehindWhatWasDoneBeforeARestart) {
  close();
  options_.scrub_bytes_per_second = 1 << 20;
  ASSERT_TRUE(open().ok());
  write_rows(0, 100);
  start_scrub();
  const MonotonicTime until = clock_.now() + std::chrono::seconds(1);
  executor_.run_until_idle(until);
  ASSERT_EQ(scrub_status().state, ScrubState::kRunning);
  const ScrubStatus half = scrub_status();
  ASSERT_GT(half.bytes_done, 0U);
  flip(row_place(1));   // behind the cursor: found by the next pass
  flip(row_place(98));  // before it
  reopen();
  EXPECT_EQ(scrub_status().state, ScrubState::kWaiting);
  executor_.run_until_idle(clock_.now() + kScrubStartDelay + std::chrono::seconds(30));
  EXPECT_EQ(scrub_status().passes, 1U);
  EXPECT_LT(scrub_status().bytes_total, half.bytes_total);
  EXPECT_EQ(damaged_rows(), std::set<std::uint32_t>{98});
  executor_.run_until_idle(clock_.now() + kScrubInterval + std::chrono::minutes(5));
  EXPECT_EQ(damaged_rows(), (std::set<std::uint32_t>{1, 98}));
}

TEST_F(DriveScrubTest, PassesAreDueByTheWallClockAlsoAcrossRestarts) {
  close();
  options_.scrub_bytes_per_second = 32 << 20;
  ASSERT_TRUE(open().ok());
  write_rows(0, 10);
  for (int day = 0; day < 6; ++day) {
    clock_.advance(std::chrono::hours(24));
    executor_.run_until_idle(clock_.now());
    EXPECT_EQ(scrub_status().passes, 0U);
    reopen();
  }
  clock_.advance(std::chrono::hours(25));
  executor_.run_until_idle(clock_.now() + kScrubStartDelay);
  EXPECT_EQ(scrub_status().passes, 1U);
}

TEST_F(DriveScrubTest, AStoppedPassEndsAndWithRateZeroNoneBegins) {
  write_rows(0, 100);
  executor_.run_until_idle(clock_.now() + kScrubInterval * 3);
  EXPECT_EQ(scrub_status().state, ScrubState::kOff);
  EXPECT_EQ(scrub_status().passes, 0U);
  start_scrub(64 << 10);
  executor_.run_until_idle(clock_.now() + std::chrono::seconds(2));
  ASSERT_EQ(scrub_status().state, ScrubState::kRunning);
  ASSERT_TRUE(executor_.run(scrub(ScrubAction::kStop, 0)).ok());
  executor_.run_ready();
  EXPECT_EQ(scrub_status().state, ScrubState::kOff);
  EXPECT_EQ(scrub_status().passes, 0U);
}

TEST_F(DriveScrubTest, ADriveThatTakesNoWritesIsStillReadAndScrubbed) {
  write_rows(0, 20);
  flip(row_place(3));
  disk_.write_error = ReadOnlyError("the disk is read-only");
  EXPECT_EQ(write(kPack, 50, kBytes, 50).code(), StatusCode::kReadOnly);
  EXPECT_TRUE(drive_->status().state.starts_with("failed: ")) << drive_->status().state;
  expect_content(kPack, 7, kBytes, 7);
  run_pass();
  EXPECT_EQ(damaged_rows(), std::set<std::uint32_t>{3});
  reopen();
  executor_.run_ready();
  expect_content(kPack, 7, kBytes, 7);
  EXPECT_EQ(write(kPack, 50, kBytes, 50).code(), StatusCode::kReadOnly);
  EXPECT_TRUE(drive_->status().state.starts_with("failed: ")) << drive_->status().state;
}

}  // namespace
}  // namespace shoal::storaged
