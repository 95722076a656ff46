#include "storaged/store/drive.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>

#include "base/async/sync.h"
#include "base/io/uring_device.h"
#include "tests/support/drive_requests.h"
#include "tests/support/temp_directory.h"

namespace shoal::storaged {
namespace {

using test::make_read;
using test::make_write;

Task<Result<std::unique_ptr<Drive>>> open_at(IoContext* io, std::string path,
                                             DriveOptions options) {
  auto directory = FileDirectory::open(*io, std::move(path));
  if (!directory.ok()) co_return directory.status();
  co_return co_await Drive::open(std::move(*directory), std::move(options));
}

Task<std::vector<Status>> write_all(Drive* drive, std::vector<WriteFragmentRequest> requests) {
  std::vector<Task<Status>> tasks;
  for (auto& request : requests) tasks.push_back(drive->write_fragment(std::move(request)));
  co_return co_await when_all(std::move(tasks));
}

class DriveTest : public testing::TestWithParam<IoBackend> {
 protected:
  void SetUp() override {
    loop_ = std::move(EventLoop::create("drive-test")).value();
    io_ = std::move(IoContext::create(*loop_, GetParam())).value();
    loop_->start();
    options_.identity = test::kDriveIdentity;
    options_.segment_bytes = 1 << 20;
    options_.format_if_empty = true;
    ASSERT_TRUE(open().ok());
  }
  void TearDown() override {
    close();
    loop_->stop();
    loop_->join();
    io_.reset();
  }
  Status open() {
    auto opened = sync_wait(*loop_, open_at(io_.get(), temp_.path() + "/drive", options_));
    if (!opened.ok()) return opened.status();
    drive_ = std::move(*opened);
    return OkStatus();
  }
  void close() {
    if (drive_ == nullptr) return;
    sync_wait(*loop_, drive_->close());
    drive_.reset();
  }
  // On the drive's loop, where it works on in the background.
  template <typename Call>
  auto ask(Call call) {
    using Answer = std::invoke_result_t<Call, Drive&>;
    const auto run = [](Drive* drive, Call* asked) -> Task<Answer> { co_return (*asked)(*drive); };
    return sync_wait(*loop_, run(drive_.get(), &call));
  }
  DriveStatus status() {
    return ask([](Drive& drive) { return drive.status(); });
  }
  Status write(PackId pack, std::uint32_t row, std::uint32_t bytes, std::uint64_t seed,
               std::uint64_t epoch = 1) {
    return sync_wait(*loop_, drive_->write_fragment(make_write(pack, row, bytes, seed, epoch)));
  }
  Result<Buffer> read(PackId pack, std::uint32_t row, std::uint32_t offset, std::uint32_t length) {
    return sync_wait(*loop_, drive_->read_fragment(make_read(pack, row, offset, length)));
  }
  void expect_content(PackId pack, std::uint32_t row, std::uint32_t bytes, std::uint64_t seed) {
    const auto found = read(pack, row, 0, bytes);
    ASSERT_TRUE(found.ok()) << found.status().to_string();
    EXPECT_EQ(found->view(), make_write(pack, row, bytes, seed).payload[0].view()) << "row " << row;
  }
  // The segment files, oldest first.
  std::vector<std::string> segments() {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(temp_.path() + "/drive")) {
      if (entry.path().filename().string().starts_with("segment-")) paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }
  // Changes a byte of the first segment that holds `text`, `delta` bytes into it.
  void flip(const std::string& text, std::size_t delta) {
    for (const std::string& path : segments()) {
      const int fd = ::open(path.c_str(), O_RDWR);
      std::string content(std::filesystem::file_size(path), '\0');
      ASSERT_EQ(pread(fd, content.data(), content.size(), 0), static_cast<ssize_t>(content.size()));
      const std::size_t at = content.find(text);
      if (at != std::string::npos) {
        const char changed = static_cast<char>(content[at + delta] ^ 1);
        ASSERT_EQ(pwrite(fd, &changed, 1, static_cast<off_t>(at + delta)), 1);
        fsync(fd);
        ::close(fd);
        return;
      }
      ::close(fd);
    }
    FAIL() << "nothing to flip";
  }

  test::TempDirectory temp_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<IoContext> io_;
  DriveOptions options_;
  std::unique_ptr<Drive> drive_;
};

INSTANTIATE_TEST_SUITE_P(Backends, DriveTest,
                         testing::Values(IoBackend::kAuto, IoBackend::kThreads));

TEST_P(DriveTest, WhatWasWrittenIsReadBackInAnyRange) {
  ASSERT_TRUE(write(PackId(7), 0, 10'000, 1).ok());
  expect_content(PackId(7), 0, 10'000, 1);
  const Buffer whole = make_write(PackId(7), 0, 10'000, 1).payload[0];
  for (const auto& [offset, length] :
       std::map<std::uint32_t, std::uint32_t>{{0, 1}, {4095, 2}, {5000, 5000}, {9999, 1}}) {
    EXPECT_EQ(read(PackId(7), 0, offset, length)->view(), whole.view().substr(offset, length));
  }
  EXPECT_EQ(read(PackId(7), 0, 9'999, 2).status().code(), StatusCode::kOutOfRange);
  EXPECT_EQ(read(PackId(7), 1, 0, 1).status().code(), StatusCode::kNotFound);
}

TEST_P(DriveTest, FragmentsSurviveAReopenAcrossManySegments) {
  std::vector<WriteFragmentRequest> requests;
  for (std::uint32_t row = 0; row < 600; ++row)
    requests.push_back(make_write(PackId(3), row, 4096 + row, row));
  for (std::uint32_t row = 600; row < 606; ++row)
    requests.push_back(make_write(PackId(3), row, 300'000, row));
  for (const Status& status : sync_wait(*loop_, write_all(drive_.get(), std::move(requests)))) {
    ASSERT_TRUE(status.ok()) << status.to_string();
  }
  for (int round = 0; round < 2; ++round) {
    for (std::uint32_t row = 0; row < 606; row += 7)
      expect_content(PackId(3), row, row < 600 ? 4096 + row : 300'000, row);
    EXPECT_EQ(status().fragment_count, 606U);
    close();
    ASSERT_TRUE(open().ok());
  }
  EXPECT_GT(segments().size(), 4U);
}

TEST_P(DriveTest, ManyWritesShareOneFlush) {
  const std::uint64_t before = status().flush_count;
  std::vector<WriteFragmentRequest> requests;
  for (std::uint32_t row = 0; row < 100; ++row)
    requests.push_back(make_write(PackId(3), row, 4096, row));
  (void)sync_wait(*loop_, write_all(drive_.get(), std::move(requests)));
  EXPECT_LE(status().flush_count - before, 10U);
}

// Whose CRCs are read along with the fragment when they are near, and apart when they are not.
TEST_P(DriveTest, FragmentsOfOneBatchAreReadBackFromAnywhereAfterAReopen) {
  constexpr std::uint32_t kCount = 12;
  const auto bytes_of = [](std::uint32_t row) { return 3 * 4096 + 700 * row; };
  std::vector<WriteFragmentRequest> requests;
  for (std::uint32_t row = 0; row < kCount; ++row)
    requests.push_back(make_write(PackId(5), row, bytes_of(row), 100 + row));
  for (const Status& status : sync_wait(*loop_, write_all(drive_.get(), std::move(requests))))
    ASSERT_TRUE(status.ok()) << status.to_string();
  for (const std::uint32_t offset : {0U, 1U, 5000U, 11'999U}) {
    close();
    ASSERT_TRUE(open().ok());
    for (std::uint32_t row = 0; row < kCount; ++row) {
      const auto found = read(PackId(5), row, offset, 289);
      ASSERT_TRUE(found.ok()) << found.status().to_string();
      const Buffer whole = make_write(PackId(5), row, bytes_of(row), 100 + row).payload[0];
      EXPECT_EQ(found->view(), whole.slice(offset, 289).view()) << "row " << row;
    }
  }
}

TEST_P(DriveTest, AFlippedByteOfTheSummaryIsReportedAndNothingIsServedUnchecked) {
  ASSERT_TRUE(write(PackId(5), 1, 5000, 7).ok());
  close();
  ASSERT_TRUE(open().ok());
  std::string crc(4, '\0');
  const std::uint32_t first = make_write(PackId(5), 1, 5000, 7).page_crcs[0];
  std::memcpy(crc.data(), &first, crc.size());
  flip(crc, 0);
  EXPECT_EQ(read(PackId(5), 1, 0, 5000).status().code(), StatusCode::kCorruption);
  EXPECT_EQ(read(PackId(5), 1, 4096, 100).status().code(), StatusCode::kCorruption);
}

TEST_P(DriveTest, ARetryIsFineAndAnotherContentIsNot) {
  ASSERT_TRUE(write(PackId(7), 0, 5000, 1).ok());
  EXPECT_TRUE(write(PackId(7), 0, 5000, 1).ok());
  EXPECT_EQ(write(PackId(7), 0, 5000, 2).code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(status().fragment_count, 1U);
}

TEST_P(DriveTest, APayloadThatDoesNotMatchItsCrcsIsRefused) {
  WriteFragmentRequest request = make_write(PackId(7), 0, 5000, 1);
  request.page_crcs[1] ^= 1;
  EXPECT_EQ(sync_wait(*loop_, drive_->write_fragment(std::move(request))).code(),
            StatusCode::kCorruption);
}

TEST_P(DriveTest, AFlippedByteIsReportedAndNeverServed) {
  ASSERT_TRUE(write(PackId(7), 0, 9000, 1).ok());
  flip(std::string(make_write(PackId(7), 0, 9000, 1).payload[0].view().substr(5000, 64)), 10);
  EXPECT_EQ(read(PackId(7), 0, 0, 9000).status().code(), StatusCode::kCorruption);
  EXPECT_TRUE(read(PackId(7), 0, 0, 4096).ok());
}

TEST_P(DriveTest, ATornLastBatchIsTheEndOfTheLog) {
  ASSERT_TRUE(write(PackId(7), 0, 4096, 1).ok());
  ASSERT_TRUE(write(PackId(7), 1, 4096, 2).ok());
  close();
  flip(std::string(make_write(PackId(7), 1, 4096, 2).payload[0].view().substr(0, 64)), 0);
  ASSERT_TRUE(open().ok());
  expect_content(PackId(7), 0, 4096, 1);
  EXPECT_EQ(read(PackId(7), 1, 0, 4096).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(write(PackId(7), 1, 4096, 3).ok());
  close();
  ASSERT_TRUE(open().ok());
  expect_content(PackId(7), 1, 4096, 3);
}

TEST_P(DriveTest, DamageInTheMiddleDoesNotHideWhatFollows) {
  for (std::uint32_t row = 0; row < 5; ++row) ASSERT_TRUE(write(PackId(7), row, 4096, row).ok());
  close();
  // Each batch is a page of summary and a page of payload; the summary just before row 2's payload
  // is its own.
  const std::string payload(make_write(PackId(7), 2, 4096, 2).payload[0].view());
  bool damaged = false;
  for (const std::string& path : segments()) {
    const int fd = ::open(path.c_str(), O_RDWR);
    std::string content(std::filesystem::file_size(path), '\0');
    ASSERT_EQ(pread(fd, content.data(), content.size(), 0), static_cast<ssize_t>(content.size()));
    const std::size_t at = content.find(payload);
    const std::uint64_t garbage = 0;
    if (at != std::string::npos) {
      damaged =
          pwrite(fd, &garbage, sizeof garbage, static_cast<off_t>(at - 4096)) == sizeof garbage;
    }
    ::close(fd);
  }
  ASSERT_TRUE(damaged);
  ASSERT_TRUE(open().ok());
  for (const std::uint32_t row : {0U, 1U, 3U, 4U}) expect_content(PackId(7), row, 4096, row);
  EXPECT_EQ(read(PackId(7), 2, 0, 1).status().code(), StatusCode::kNotFound);
}

TEST_P(DriveTest, DeletionsSurviveAndFreeTheirSpace) {
  for (std::uint32_t row = 0; row < 900; ++row)
    ASSERT_TRUE(write(PackId(row % 3 + 1), row, 4096, row).ok());
  ASSERT_TRUE(sync_wait(*loop_, drive_->delete_pack(PackId(1))).ok());
  ASSERT_TRUE(sync_wait(*loop_, drive_->delete_rows(PackId(2), {1, 4, 7})).ok());
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(read(PackId(1), 0, 0, 1).status().code(), StatusCode::kNotFound);
    EXPECT_EQ(read(PackId(2), 4, 0, 1).status().code(), StatusCode::kNotFound);
    expect_content(PackId(2), 10, 4096, 10);
    expect_content(PackId(3), 2, 4096, 2);
    EXPECT_EQ(write(PackId(1), 9999, 4096, 1).code(), StatusCode::kFenced);
    close();
    ASSERT_TRUE(open().ok());
  }
  EXPECT_EQ(sync_wait(*loop_, drive_->list_fragments(PackId(2), 0, 3, FragmentDetail::kRecord))
                .value()
                .at(0)
                .key.row,
            10U);
}

TEST_P(DriveTest, AListingSaysHowFarInTheLogAFragmentLies) {
  for (std::uint32_t row = 0; row < 100; ++row)
    ASSERT_TRUE(write(PackId(1), 99 - row, 4096, row).ok());
  for (int round = 0; round < 2; ++round) {
    const auto listed =
        sync_wait(*loop_, drive_->list_fragments(PackId(1), 0, 100, FragmentDetail::kRecord))
            .value();
    ASSERT_EQ(listed.size(), 100U);
    // Written backwards, one by one, and nothing but them.
    for (std::uint32_t row = 1; row < 100; ++row)
      EXPECT_LT(listed[row].log_place, listed[row - 1].log_place) << row;
    EXPECT_GT(listed.front().log_place, 0xF000'0000U);
    EXPECT_LT(listed.back().log_place, 0x1000'0000U);
    close();
    ASSERT_TRUE(open().ok());
  }
}

TEST_P(DriveTest, AFragmentThatNoSegmentCanHoldIsRefused) {
  const auto size = static_cast<std::uint32_t>(options_.segment_bytes);
  EXPECT_EQ(write(PackId(1), 0, size, 1).code(), StatusCode::kInvalidArgument);
  ASSERT_TRUE(write(PackId(1), 1, 4096, 2).ok());
  expect_content(PackId(1), 1, 4096, 2);
}

TEST_P(DriveTest, AnEvictedPackStaysAwayButMayComeAgain) {
  for (std::uint32_t row = 0; row < 300; ++row)
    ASSERT_TRUE(write(PackId(row % 3 + 1), row, 4096, row).ok());
  ASSERT_TRUE(sync_wait(*loop_, drive_->evict_pack(PackId(1))).ok());
  ASSERT_TRUE(write(PackId(1), 3, 4096, 77).ok());
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(read(PackId(1), 0, 0, 1).status().code(), StatusCode::kNotFound);
    expect_content(PackId(1), 3, 4096, 77);
    expect_content(PackId(2), 1, 4096, 1);
    const auto packs = ask([](Drive& drive) { return drive.list_packs(PackId(0), 1); });
    EXPECT_EQ(packs.at(0).fragment_count, 1U);
    close();
    ASSERT_TRUE(open().ok());
  }
}

TEST_P(DriveTest, ASealedPackRefusesOldLeasesAlsoAfterAReopen) {
  ASSERT_TRUE(write(PackId(7), 0, 4096, 1, 5).ok());
  ASSERT_TRUE(sync_wait(*loop_, drive_->seal_pack(PackId(7), 5)).ok());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(write(PackId(7), 1, 4096, 1, 5).code(), StatusCode::kFenced);
    close();
    ASSERT_TRUE(open().ok());
  }
  EXPECT_TRUE(write(PackId(7), 1, 4096, 1, 6).ok());
}

TEST_P(DriveTest, AFullDriveRefusesEarlyAndRecoversByDeleting) {
  close();
  options_.max_bytes = 12 << 20;
  ASSERT_TRUE(open().ok());
  std::uint32_t row = 0;
  Status status;
  while ((status = write(PackId(row / 64 + 1), row, 60'000, row)).ok()) ++row;
  EXPECT_EQ(status.code(), StatusCode::kNoSpace);
  EXPECT_GT(row, 60U);
  expect_content(PackId(1), 0, 60'000, 0);
  for (std::uint32_t pack = 1; pack <= row / 64; ++pack)
    ASSERT_TRUE(sync_wait(*loop_, drive_->delete_pack(PackId(pack))).ok());
  // Recycling runs in the background.
  for (int i = 0; i < 2000 && !status.ok(); ++i) status = write(PackId(100'000), 1, 60'000, 9);
  EXPECT_TRUE(status.ok()) << status.to_string();
  close();
  ASSERT_TRUE(open().ok());
  expect_content(PackId(100'000), 1, 60'000, 9);
  EXPECT_EQ(read(PackId(1), 0, 0, 1).status().code(), StatusCode::kNotFound);
}

TEST_P(DriveTest, AForeignOrSwappedOrNewerDriveIsRefusedByName) {
  close();
  DriveOptions other = options_;
  other.identity.cluster_uuid = "33333333-3333-4333-8333-333333333333";
  auto opened = sync_wait(*loop_, open_at(io_.get(), temp_.path() + "/drive", other));
  EXPECT_EQ(opened.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(opened.status().message().find(other.identity.cluster_uuid), std::string::npos);
  other = options_;
  other.identity.drive = DriveId(2);
  opened = sync_wait(*loop_, open_at(io_.get(), temp_.path() + "/drive", other));
  EXPECT_NE(opened.status().message().find("swapped"), std::string::npos);
}

}  // namespace
}  // namespace shoal::storaged
