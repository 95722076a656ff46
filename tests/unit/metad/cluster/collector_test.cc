#include "metad/cluster/collector.h"

#include <gtest/gtest.h>

#include "base/io/uring_device.h"
#include "tests/support/drive_requests.h"
#include "tests/support/fake_storage.h"
#include "tests/support/memory_checkpoint.h"
#include "tests/support/metadata_driver.h"
#include "tests/support/temp_directory.h"

namespace shoal::metad {
namespace {

// The state of a driver, as a dump of it was loaded, served over a drive in memory.
class CollectorTest : public testing::Test {
 protected:
  void SetUp() override {
    loop_ = std::move(EventLoop::create("collector-test")).value();
    io_ = std::move(IoContext::create(*loop_)).value();
    loop_->start();
  }
  void TearDown() override {
    loop_->stop();
    loop_->join();
    io_.reset();
  }
  // A fragment of the pack on drive 1.
  void write(std::uint64_t pack, std::uint32_t row) {
    struct Run {
      static Task<Status> run(test::FakeStorage* storage, PackId id, std::uint32_t row_number) {
        WriteFragmentRequest request =
            test::make_write(id, row_number, 4096, row_number, 1'000'000);
        co_return co_await storage->write_fragment(std::move(request), MonotonicTime::max());
      }
    };
    const Status written = sync_wait(*loop_, Run::run(&storage_, PackId(pack), row));
    ASSERT_TRUE(written.ok()) << written.to_string();
  }
  bool holds(std::uint64_t pack) {
    const auto& fragments = storage_.fragments(DriveId(1));
    return std::any_of(fragments.begin(), fragments.end(),
                       [pack](const auto& entry) { return entry.first.pack == PackId(pack); });
  }
  // One round of the collector on the driver's state.
  void collect(bool restored) {
    test::CheckpointDisk disk;
    if (restored) {
      ASSERT_TRUE(driver_.machine->become_restored().ok());
    }
    while (
        driver_.machine->drain_changes(1000, [&](std::string_view key, const std::string* value) {
          if (value != nullptr) disk.records[std::string(key)] = *value;
        })) {
    }
    disk.position = driver_.position;
    auto directory = std::move(FileDirectory::open(*io_, temp_.path() + "/journal")).value();
    MetadataOptions options;
    options.open_checkpoint = disk.opener();
    options.journal_segment_bytes = 1 << 20;
    auto opened =
        sync_wait(*loop_, MetadataServer::open(*directory, io_->pool(), std::move(options)));
    ASSERT_TRUE(opened.ok()) << opened.status().to_string();
    Collector collector(**opened, [this](const DriveInfo& drive) -> StorageApi* {
      return drive.id == DriveId(1) ? &storage_ : nullptr;
    });
    sync_wait(*loop_, collector.collect());
    EXPECT_TRUE(sync_wait(*loop_, (*opened)->close()).ok());
    opened->reset();
  }

  test::TempDirectory temp_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<IoContext> io_;
  test::FakeStorage storage_;
  test::MetadataDriver driver_;
};

TEST_F(CollectorTest, APackThatTheMetadataDroppedIsDeletedFromADrive) {
  const std::uint64_t unknown = driver_.pack + 7;
  storage_.faults(DriveId(1));
  write(unknown, 0);
  write(driver_.pack, 0);
  driver_.put("object");
  collect(false);
  EXPECT_FALSE(holds(unknown));
  EXPECT_TRUE(holds(driver_.pack));
}

TEST_F(CollectorTest, AfterTheLoadOfADumpNothingNewerIsDeleted) {
  const std::uint64_t dropped = driver_.pack;  // before the dump
  driver_.close_pack(dropped);
  proto::Command deleted;
  deleted.mutable_pack_deleted()->set_pack(dropped);
  driver_.run(std::move(deleted));
  driver_.pack = driver_.lease();  // open at the dump, and without a byte that it knows of
  const std::uint64_t open_pack = driver_.pack;
  const std::uint64_t newer = open_pack + 1;
  storage_.faults(DriveId(1));
  for (const std::uint64_t pack : {dropped, open_pack, newer}) write(pack, 3);
  collect(true);
  EXPECT_FALSE(holds(dropped));
  EXPECT_TRUE(holds(open_pack));
  EXPECT_TRUE(holds(newer));
}

}  // namespace
}  // namespace shoal::metad
