// Drives that hang behind the daemon's API.
#include "storaged/service.h"

#include <gtest/gtest.h>

#include "base/async/manual_executor.h"
#include "tests/support/drive_requests.h"
#include "tests/support/memory_disk.h"

namespace shoal::storaged {
namespace {

using std::chrono::seconds;

Task<Result<std::unique_ptr<BlockDirectory>>> open_on(test::MemoryDisk* disk) {
  co_return disk->directory();
}

class StorageServerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::vector<DriveConfig> drives(2);
    for (std::size_t i = 0; i < drives.size(); ++i) {
      drives[i].path = std::to_string(i);
      drives[i].options.identity = test::kDriveIdentity;
      drives[i].options.identity.drive = DriveId(static_cast<std::uint32_t>(i + 1));
      drives[i].options.segment_bytes = 256 << 10;
      drives[i].options.max_bytes = 64 << 20;
      drives[i].options.format_if_empty = true;
    }
    StorageServer::OpenDirectory open_directory = [this](const DriveConfig& config) {
      return open_on(&disks_[config.path == "1" ? 1 : 0]);
    };
    server_ = executor_.run(
        StorageServer::open(executor_, std::move(open_directory), std::move(drives)));
    ASSERT_TRUE(server_->trouble().ok());
  }
  void TearDown() override {
    executor_.post([this] { disks_[0].release(); });
    executor_.run(server_->close());
  }
  Status write(std::uint32_t drive, std::uint32_t row) {
    WriteFragmentRequest request = test::make_write(PackId(7), row, 5000, row);
    request.drive = DriveId(drive);
    return executor_.run(server_->write_fragment(std::move(request), executor_.now() + seconds(5)));
  }
  StatusCode read(std::uint32_t drive, std::uint32_t row) {
    ReadFragmentRequest request = test::make_read(PackId(7), row, 0, 5000);
    request.drive = DriveId(drive);
    return executor_.run(server_->read_fragment(request, executor_.now() + seconds(5)))
        .status()
        .code();
  }
  std::string state(std::size_t index) {
    return executor_.run(server_->status(executor_.now() + seconds(5))).value().at(index).state;
  }

  VirtualClock clock_;
  ManualExecutor executor_{clock_};
  std::array<test::MemoryDisk, 2> disks_;
  std::unique_ptr<StorageServer> server_;
};

TEST_F(StorageServerTest, CallsOfADriveThatHangsEndAtTheirDeadlinesAndTheOtherServes) {
  ASSERT_TRUE(write(1, 0).ok());
  disks_[0].hang = true;
  const MonotonicTime before = executor_.now();
  EXPECT_EQ(write(1, 1).code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(read(1, 0), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(executor_.now() - before, seconds(10));
  EXPECT_TRUE(state(0).starts_with("hangs: 2 calls")) << state(0);
  EXPECT_TRUE(write(2, 1).ok());
  EXPECT_EQ(read(2, 1), StatusCode::kOk);
  EXPECT_EQ(state(1), "up");
  executor_.post([this] { disks_[0].release(); });
  executor_.run_ready();
  // The outcome was unknown: here it came through.
  EXPECT_EQ(read(1, 1), StatusCode::kOk);
  EXPECT_EQ(state(0), "up");
}

TEST_F(StorageServerTest, WhenManyCallsHangTheNextAreRefusedAtOnce) {
  disks_[0].hang = true;
  for (std::uint32_t row = 0; row < kMaxHungCalls; ++row)
    EXPECT_EQ(write(1, row).code(), StatusCode::kDeadlineExceeded);
  const MonotonicTime before = executor_.now();
  EXPECT_EQ(write(1, 1000).code(), StatusCode::kUnavailable);
  EXPECT_EQ(executor_.now(), before);
  executor_.post([this] { disks_[0].release(); });
  executor_.run_ready();
  EXPECT_TRUE(write(1, 1000).ok());
}

TEST_F(StorageServerTest, ADriveThatRefusesWritesIsFailedAndServesReads) {
  ASSERT_TRUE(write(1, 0).ok());
  disks_[0].write_error = IoError("the disk is dying");
  EXPECT_EQ(write(1, 1).code(), StatusCode::kIoError);
  EXPECT_TRUE(state(0).starts_with("failed: ")) << state(0);
  EXPECT_EQ(read(1, 0), StatusCode::kOk);
}

}  // namespace
}  // namespace shoal::storaged
