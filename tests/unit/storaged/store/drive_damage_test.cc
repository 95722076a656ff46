// Damage that the drive knows of, and repair writes.
#include "tests/support/memory_drive.h"

namespace shoal::storaged {
namespace {

const PackId kPack(7);

class DriveDamageTest : public test::MemoryDriveTest {};

TEST_F(DriveDamageTest, AReadOfAFlippedPageListsTheFragmentOnce) {
  ASSERT_TRUE(write(kPack, 3, 9000, 1).ok());
  flip(place_of(kPack, 3, 9000, 1), 5000);
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(read(kPack, 3, 0, 9000).status().code(), StatusCode::kCorruption);
  ASSERT_EQ(damaged().size(), 1U);
  EXPECT_EQ(damaged()[0].key, (FragmentKey{kPack, 3, 0}));
  EXPECT_NE(damaged()[0].what.find("page 1"), std::string::npos) << damaged()[0].what;
  EXPECT_EQ(drive_->status().damaged_fragments, 1U);
}

TEST_F(DriveDamageTest, ARepairReplacesADamagedFragmentAlsoInASealedPack) {
  for (std::uint32_t row = 0; row < 3; ++row) ASSERT_TRUE(write(kPack, row, 9000, row).ok());
  ASSERT_TRUE(executor_.run(drive_->seal_pack(kPack, 1)).ok());
  flip(place_of(kPack, 1, 9000, 1));
  EXPECT_EQ(read_code(kPack, 1), StatusCode::kCorruption);
  EXPECT_EQ(write(kPack, 1, 9000, 1).code(), StatusCode::kFenced);
  ASSERT_TRUE(repair(kPack, 1, 9000, 1).ok());
  EXPECT_TRUE(damaged().empty());
  for (int round = 0; round < 2; ++round) {
    for (std::uint32_t row = 0; row < 3; ++row) expect_content(kPack, row, 9000, row);
    EXPECT_EQ(fragments(), 3U);
    EXPECT_EQ(drive_->status().used_bytes, 27'000U);
    reopen();
  }
}

TEST_F(DriveDamageTest, ARepairOfAWholeFragmentWritesNothing) {
  ASSERT_TRUE(write(kPack, 0, 9000, 1).ok());
  const std::uint64_t before = drive_->status().write_count;
  ASSERT_TRUE(repair(kPack, 0, 9000, 1).ok());
  EXPECT_EQ(drive_->status().write_count, before);
}

TEST_F(DriveDamageTest, ARepairReplacesAnotherContentAndShape) {
  ASSERT_TRUE(write(kPack, 0, 5000, 1).ok());
  EXPECT_EQ(write(kPack, 0, 9000, 2).code(), StatusCode::kAlreadyExists);
  ASSERT_TRUE(repair(kPack, 0, 9000, 2).ok());
  for (int round = 0; round < 2; ++round) {
    expect_content(kPack, 0, 9000, 2);
    EXPECT_EQ(drive_->status().used_bytes, 9000U);
    EXPECT_EQ(executor_.run(drive_->row_shape(kPack, 0))->heights[0], 9000U);
    reopen();
  }
}

TEST_F(DriveDamageTest, OfTwoRecordsInSealedSegmentsTheNewestCounts) {
  ASSERT_TRUE(write(kPack, 0, 5000, 1).ok());
  for (std::uint32_t row = 1; row < 20; ++row)
    ASSERT_TRUE(write(kPack, row, 60'000, 100 + row).ok());
  ASSERT_TRUE(repair(kPack, 0, 5000, 2).ok());
  for (std::uint32_t row = 20; row < 40; ++row)
    ASSERT_TRUE(write(kPack, row, 60'000, 100 + row).ok());
  ASSERT_NE(place_of(kPack, 0, 5000, 1).file, place_of(kPack, 0, 5000, 2).file);
  for (int round = 0; round < 2; ++round) {
    expect_content(kPack, 0, 5000, 2);
    EXPECT_EQ(fragments(), 40U);
    reopen();
  }
}

TEST_F(DriveDamageTest, DeletedPacksAndRowsAreFencedAlsoForRepair) {
  for (std::uint32_t row = 0; row < 2; ++row) ASSERT_TRUE(write(kPack, row, 5000, row).ok());
  ASSERT_TRUE(executor_.run(drive_->delete_rows(kPack, {1})).ok());
  EXPECT_EQ(repair(kPack, 1, 5000, 1).code(), StatusCode::kFenced);
  ASSERT_TRUE(executor_.run(drive_->delete_pack(kPack)).ok());
  EXPECT_EQ(repair(kPack, 0, 5000, 0).code(), StatusCode::kFenced);
}

TEST_F(DriveDamageTest, ADeletionTakesTheFragmentOffTheList) {
  for (const std::uint64_t pack : {7UL, 8UL}) {
    for (std::uint32_t row = 0; row < 2; ++row) {
      ASSERT_TRUE(write(PackId(pack), row, 5000, pack * 10 + row).ok());
      flip(place_of(PackId(pack), row, 5000, pack * 10 + row));
      EXPECT_EQ(read_code(PackId(pack), row), StatusCode::kCorruption);
    }
  }
  ASSERT_TRUE(executor_.run(drive_->delete_rows(kPack, {1})).ok());
  EXPECT_EQ(damaged().size(), 3U);
  ASSERT_TRUE(executor_.run(drive_->delete_pack(PackId(8))).ok());
  ASSERT_EQ(damaged().size(), 1U);
  EXPECT_EQ(damaged()[0].key, (FragmentKey{kPack, 0, 0}));
}

TEST_F(DriveDamageTest, ADamagedRecordHidesNoOtherFragmentOfItsPack) {
  for (std::uint32_t row = 0; row < 4; ++row) ASSERT_TRUE(write(kPack, row, 4096, row).ok());
  const Place place = place_of(kPack, 1, 4096, 1);
  flip({place.file, place.offset - kPageSize}, 100);  // its summary is the page before
  const auto listed = executor_.run(drive_->list_fragments(kPack, 0, 3, FragmentDetail::kRecord));
  ASSERT_TRUE(listed.ok());
  ASSERT_EQ(listed->size(), 3U);
  EXPECT_EQ(listed->at(1).key.row, 2U);
  ASSERT_EQ(damaged().size(), 1U);
  EXPECT_EQ(damaged()[0].key.row, 1U);
  EXPECT_EQ(executor_.run(drive_->row_directory({kPack, 1, 0})).status().code(),
            StatusCode::kCorruption);
  ASSERT_TRUE(repair(kPack, 1, 4096, 1).ok());
  EXPECT_EQ(executor_.run(drive_->list_fragments(kPack, 0, 9, FragmentDetail::kRecord))->size(),
            4U);
}

TEST_F(DriveDamageTest, ParityFragmentsTellTheirRowsDirectory) {
  WriteFragmentRequest parity = test::make_write(kPack, 0, 4096, 1);
  parity.key.column = 4;
  parity.directory = {{InodeId(9), 1, 0, 2, 3, 4}};
  ASSERT_TRUE(write(std::move(parity)).ok());
  ASSERT_TRUE(write(kPack, 0, 4096, 1).ok());
  const auto directory = executor_.run(drive_->row_directory({kPack, 0, 4}));
  ASSERT_TRUE(directory.ok());
  ASSERT_EQ(directory->size(), 1U);
  EXPECT_EQ(directory->at(0).inode, InodeId(9));
  EXPECT_EQ(directory->at(0).length, 3U);
  EXPECT_TRUE(executor_.run(drive_->row_directory({kPack, 0, 0}))->empty());
  EXPECT_EQ(executor_.run(drive_->row_directory({kPack, 0, 5})).status().code(),
            StatusCode::kNotFound);
}

TEST_F(DriveDamageTest, ADamagedFragmentDoesNotStopTheCleaner) {
  close();
  options_.max_bytes = 16 * options_.segment_bytes;
  ASSERT_TRUE(open().ok());
  // Every fourth fragment stays: each segment is cleaned for the sake of the three others.
  std::uint32_t row = 0;
  while (write(PackId(row % 4 + 1), row, 50'000, row).ok()) ++row;
  flip(place_of(PackId(1), 0, 50'000, 0));
  for (const std::uint64_t pack : {2UL, 3UL, 4UL})
    ASSERT_TRUE(executor_.run(drive_->delete_pack(PackId(pack))).ok());
  executor_.run_ready();
  std::uint32_t taken = 0;
  for (std::uint32_t i = 0; i < 12; ++i) {
    if (write(PackId(100), i, 50'000, 1000 + i).ok()) ++taken;
    executor_.run_ready();
  }
  EXPECT_GT(taken, 10U);
  for (std::uint32_t one = 4; one < row; one += 4) expect_content(PackId(1), one, 50'000, one);
  EXPECT_EQ(read_code(PackId(1), 0), StatusCode::kCorruption);
  ASSERT_TRUE(repair(PackId(1), 0, 50'000, 0).ok());
  expect_content(PackId(1), 0, 50'000, 0);
}

}  // namespace
}  // namespace shoal::storaged
