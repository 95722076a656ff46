#include "storaged/log/scrub_record.h"

#include <gtest/gtest.h>

#include "base/async/manual_executor.h"
#include "tests/support/memory_disk.h"

namespace shoal::storaged {
namespace {

const Uuid kDrive{1, 2, 3};

class ScrubRecordTest : public testing::Test {
 protected:
  ScrubRecord read(Uuid drive, bool* found) {
    return executor_.run(read_scrub_record(*directory_, drive, found));
  }
  void write_one() {
    ScrubRecord record{};
    record.drive_uuid = kDrive;
    record.last_finished_ns = 5;
    record.cursor_generation = 6;
    ASSERT_TRUE(executor_.run(write_scrub_record(*directory_, record)).ok());
  }

  VirtualClock clock_;
  ManualExecutor executor_{clock_};
  test::MemoryDisk disk_;
  std::unique_ptr<BlockDirectory> directory_ = disk_.directory();
  bool found_ = false;
};

TEST_F(ScrubRecordTest, WhatWasWrittenLastIsRead) {
  read(kDrive, &found_);
  EXPECT_FALSE(found_);
  for (int i = 0; i < 2; ++i) write_one();
  const ScrubRecord record = read(kDrive, &found_);
  EXPECT_TRUE(found_);
  EXPECT_EQ(record.last_finished_ns, 5);
  EXPECT_EQ(record.cursor_generation, 6U);
}

TEST_F(ScrubRecordTest, AnotherDrivesOrAFlippedOneIsNone) {
  write_one();
  read(Uuid{9}, &found_);
  EXPECT_FALSE(found_);
  disk_.files.at("scrub")->bytes[40] ^= std::byte{1};
  const ScrubRecord record = read(kDrive, &found_);
  EXPECT_FALSE(found_);
  EXPECT_EQ(record.last_finished_ns, 0);
  EXPECT_EQ(record.drive_uuid, kDrive);
}

TEST_F(ScrubRecordTest, AFileThatACrashLeftEmptyIsMadeAgain) {
  disk_.files["scrub"] = std::make_shared<test::MemoryDisk::File>();
  write_one();
  read(kDrive, &found_);
  EXPECT_TRUE(found_);
}

}  // namespace
}  // namespace shoal::storaged
