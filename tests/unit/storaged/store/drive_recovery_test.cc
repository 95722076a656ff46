// Starting on damaged segments: nothing that is whole is lost, and nothing bad is served.
#include "storaged/log/record_codec.h"
#include "tests/support/memory_drive.h"

namespace shoal::storaged {
namespace {

const PackId kPack(7);
constexpr std::uint32_t kBytes = 20'000;  // of a fragment; 11 fill a segment

class DriveRecoveryTest : public test::MemoryDriveTest {
 protected:
  using FilePtr = std::shared_ptr<test::MemoryDisk::File>;

  void write_rows(std::uint32_t from, std::uint32_t to) {
    for (std::uint32_t row = from; row < to; ++row)
      ASSERT_TRUE(write(kPack, row, kBytes, row).ok());
    executor_.run_ready();
  }
  // Rows that are served; each with what was written.
  std::set<std::uint32_t> served(std::uint32_t rows) {
    std::set<std::uint32_t> found;
    for (std::uint32_t row = 0; row < rows; ++row) {
      const auto bytes = read(kPack, row, 0, kBytes);
      if (!bytes.ok()) continue;
      EXPECT_EQ(bytes->view(), test::make_write(kPack, row, kBytes, row).payload[0].view());
      found.insert(row);
    }
    return found;
  }
  static std::set<std::uint32_t> range(std::uint32_t from, std::uint32_t to) {
    std::set<std::uint32_t> all;
    for (std::uint32_t row = from; row < to; ++row) all.insert(row);
    return all;
  }
  Place row_place(std::uint32_t row) { return place_of(kPack, row, kBytes, row); }
  std::uint64_t damaged_segments() { return drive_->status().damaged_segments; }
  Task<std::vector<Status>> write_together(std::vector<std::uint32_t> rows) {
    std::vector<Task<Status>> tasks;
    for (const std::uint32_t row : rows)
      tasks.push_back(drive_->write_fragment(test::make_write(kPack, row, kBytes, row)));
    co_return co_await when_all(std::move(tasks));
  }
};

TEST_F(DriveRecoveryTest, ATruncatedSegmentIsKeptAndServesWhatIsLeftOfIt) {
  write_rows(0, 30);
  const FilePtr file = row_place(0).file;
  ASSERT_EQ(row_place(8).file, file);
  const std::uint64_t cut = row_place(4).offset + kPageSize;
  close();
  file->bytes.resize(cut);
  const auto left = file->bytes;
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(damaged_segments(), 1U);
  EXPECT_TRUE(std::ranges::includes(served(30), range(0, 4)));
  EXPECT_FALSE(served(30).contains(4));
  EXPECT_TRUE(std::ranges::includes(served(30), range(12, 30)));
  // Neither deletions nor new writes touch it.
  ASSERT_TRUE(executor_.run(drive_->delete_pack(kPack)).ok());
  for (std::uint32_t row = 0; row < 100; ++row)
    ASSERT_TRUE(write(PackId(8), row, kBytes, row).ok());
  reopen();
  EXPECT_EQ(file->bytes, left);
  EXPECT_EQ(damaged_segments(), 1U);
}

TEST_F(DriveRecoveryTest, ADriveSaysWhenItWasOpened) {
  const WallTimeNs first = drive_->status().opened_ns;
  EXPECT_GT(first, 0);
  clock_.advance(std::chrono::seconds(1));
  EXPECT_EQ(drive_->status().opened_ns, first);
  reopen();
  EXPECT_GT(drive_->status().opened_ns, first);
}

TEST_F(DriveRecoveryTest, AFileThatACrashLeftUnfinishedIsRemoved) {
  write_rows(0, 3);
  close();
  auto file = std::make_shared<test::MemoryDisk::File>();
  file->bytes.resize(3 * kPageSize);
  disk_.files["segment-00000099"] = file;
  ASSERT_TRUE(open().ok());
  EXPECT_FALSE(disk_.files.contains("segment-00000099"));
  EXPECT_EQ(damaged_segments(), 0U);
  EXPECT_EQ(served(3), range(0, 3));
}

TEST_F(DriveRecoveryTest, AnEmptyFileThatIsNotTheNewestIsDamage) {
  write_rows(0, 30);
  const FilePtr file = row_place(0).file;
  close();
  file->bytes.clear();
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(damaged_segments(), 1U);
  EXPECT_TRUE(std::ranges::includes(served(30), range(12, 30)));
  EXPECT_TRUE(file->bytes.empty());
}

TEST_F(DriveRecoveryTest, AFlippedHeaderHidesNothing) {
  for (const std::uint32_t row : {0U, 29U}) {  // of a sealed segment, and of an open one
    write_rows(0, 30);
    const Place header{row_place(row).file, 0};
    close();
    flip(header, 40);
    ASSERT_TRUE(open().ok());
    EXPECT_EQ(damaged_segments(), 1U);
    for (int round = 0; round < 2; ++round) {
      EXPECT_EQ(served(30), range(0, 30)) << row;
      reopen();
    }
    write_rows(30, 60);
    EXPECT_EQ(served(60), range(0, 60)) << row;
    close();
    disk_.files.clear();
    ASSERT_TRUE(open().ok());
  }
}

TEST_F(DriveRecoveryTest, BehindAFlippedHeaderOnlyTheNewestLifeCounts) {
  close();
  options_.max_bytes = 12 * options_.segment_bytes;
  ASSERT_TRUE(open().ok());
  std::uint32_t row = 0;
  while (write(PackId(1), row, kBytes, 1000 + row).ok()) ++row;
  ASSERT_TRUE(executor_.run(drive_->delete_pack(PackId(1))).ok());
  executor_.run_ready();
  write_rows(0, 30);  // past the segment that was prepared before the deletion
  const FilePtr file = row_place(29).file;
  // Of the life before something is left in it.
  const auto is_in_file = [&](std::uint32_t old_row) {
    const Buffer payload = test::make_write(PackId(1), old_row, kBytes, 1000 + old_row).payload[0];
    return std::search(file->bytes.begin(), file->bytes.end(), payload.data(),
                       payload.data() + kPageSize) != file->bytes.end();
  };
  std::set<std::uint32_t> before;
  for (std::uint32_t old_row = 0; old_row < row; ++old_row)
    if (is_in_file(old_row)) before.insert(old_row);
  ASSERT_FALSE(before.empty());
  close();
  flip({file, 0}, 40);
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(served(30), range(0, 30));
  for (const std::uint32_t old_row : before)
    EXPECT_EQ(read_code(PackId(1), old_row), StatusCode::kNotFound) << old_row;
}

TEST_F(DriveRecoveryTest, ASegmentFullOfGarbageIsKeptAsideAndTheOthersServe) {
  write_rows(0, 30);
  const FilePtr file = row_place(0).file;
  close();
  SeededRandom random(5);
  for (std::byte& byte : file->bytes) byte = static_cast<std::byte>(random.next());
  const auto garbage = file->bytes;
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(damaged_segments(), 1U);
  EXPECT_TRUE(std::ranges::includes(served(30), range(12, 30)));
  write_rows(30, 60);
  EXPECT_EQ(file->bytes, garbage);
}

TEST_F(DriveRecoveryTest, UnreadablePagesCostOnlyWhatIsOnThem) {
  write_rows(0, 30);
  const Place sealed = row_place(3);
  const Place active = row_place(27);
  ASSERT_NE(sealed.file, active.file);
  close();
  const std::uint64_t last = sealed.file->bytes.size() / kPageSize - 1;
  // The trailer, so that the segment is scanned; the summary of one batch; and a header.
  sealed.file->unreadable_pages = {last, sealed.offset / kPageSize - 1};
  active.file->unreadable_pages = {0};
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(open().ok());
    EXPECT_EQ(damaged_segments(), 2U);
    auto expected = range(0, 30);
    expected.erase(3);
    EXPECT_EQ(served(30), expected);
    close();
  }
  ASSERT_TRUE(open().ok());
  write_rows(30, 40);
  EXPECT_TRUE(std::ranges::includes(served(40), range(28, 40)));
}

TEST_F(DriveRecoveryTest, AnUnreadablePayloadIsFoundByItsRead) {
  write_rows(0, 30);
  const Place place = row_place(3);
  close();
  place.file->unreadable_pages = {place.offset / kPageSize};
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(read_code(kPack, 3), StatusCode::kIoError);
  ASSERT_EQ(damaged().size(), 1U);
  ASSERT_TRUE(repair(kPack, 3, kBytes, 3).ok());
  EXPECT_EQ(served(30), range(0, 30));
}

TEST_F(DriveRecoveryTest, OfATornLastBatchTheWholeFragmentsStay) {
  write_rows(0, 2);
  for (const Status& status : executor_.run(write_together({2, 3, 4, 5})))
    ASSERT_TRUE(status.ok());
  const Place torn = row_place(4);
  close();
  flip(torn, 5000);
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(open().ok());
    EXPECT_EQ(served(6), (std::set<std::uint32_t>{0, 1, 2, 3, 5}));
    EXPECT_EQ(read_code(kPack, 4), StatusCode::kNotFound);
    EXPECT_EQ(executor_.run(drive_->list_fragments(kPack, 0, 10, FragmentDetail::kRecord))->size(),
              5U);
    EXPECT_TRUE(damaged().empty());
    close();
  }
  ASSERT_TRUE(open().ok());
  write_rows(4, 5);
  reopen();
  EXPECT_EQ(served(6), range(0, 6));
}

TEST_F(DriveRecoveryTest, AFlippedVersionIsDamageAndNotANewerFormat) {
  write_rows(0, 5);
  const Place place = row_place(2);
  close();
  const std::uint64_t summary = place.offset - kPageSize;
  place.file->bytes.at(summary + offsetof(BatchHeader, format_version)) ^= std::byte{4};
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(served(5), (std::set<std::uint32_t>{0, 1, 3, 4}));
  EXPECT_EQ(damaged_segments(), 1U);
}

TEST_F(DriveRecoveryTest, ASegmentOfANewerFormatIsRefusedByName) {
  write_rows(0, 5);
  const FilePtr file = row_place(2).file;
  close();
  SegmentHeader header{};
  std::memcpy(&header, file->bytes.data(), sizeof header);
  header.format_version = kFormatVersion + 1;
  header.crc = struct_crc(header);
  std::memcpy(file->bytes.data(), &header, sizeof header);
  const Status opened = open();
  EXPECT_EQ(opened.code(), StatusCode::kNotSupported);
  EXPECT_NE(opened.message().find("segment-"), std::string::npos) << opened.to_string();
}

TEST_F(DriveRecoveryTest, ASegmentThatComesBackDoesNotUndoARepair) {
  write_rows(0, 30);
  const Place place = row_place(3);
  close();
  const auto before = place.file->bytes;
  SeededRandom random(6);
  for (std::byte& byte : place.file->bytes) byte = static_cast<std::byte>(random.next());
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(read_code(kPack, 3), StatusCode::kNotFound);
  // Restored with another content, so that it can be told which one counts.
  ASSERT_TRUE(repair(kPack, 3, kBytes, 999).ok());
  close();
  place.file->bytes = before;
  ASSERT_TRUE(open().ok());
  expect_content(kPack, 3, kBytes, 999);
}

}  // namespace
}  // namespace shoal::storaged
