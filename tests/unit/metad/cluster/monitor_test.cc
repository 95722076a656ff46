#include "metad/cluster/monitor.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>

#include "base/async/manual_executor.h"
#include "tests/support/fake_storage.h"
#include "tests/support/memory_checkpoint.h"
#include "tests/support/memory_disk.h"
#include "tests/support/metadata_driver.h"

namespace shoal::metad {
namespace {

using std::chrono::seconds;
using Drives = std::set<std::uint32_t>;

class PostingPool final : public BlockingPool {
 public:
  explicit PostingPool(Executor& executor) : executor_(executor) {}
  void submit(Callback work) override { executor_.post(std::move(work)); }

 private:
  Executor& executor_;
};

// A daemon with one drive, and what it says of it.
struct Daemon {
  DriveId drive;
  std::string state = "up";
  bool silent = false;
  bool serves_it = true;
  test::FakeStorage storage;

  void prepare_answer() {
    DriveStatus status;
    status.drive = drive;
    status.state = state;
    storage.status_answer = std::vector<DriveStatus>(serves_it ? 1 : 0, status);
    if (silent) storage.status_answer = UnavailableError("no answer");
  }
};

// Three drives in a group of 2+1, a look each second, on a clock that the test turns.
struct MonitorTest : testing::Test {
  MonitorTest() {
    MetadataOptions options;
    options.open_checkpoint = checkpoint.opener();
    options.journal_segment_bytes = 1 << 20;
    auto opened = executor.run(MetadataServer::open(*directory, pool, std::move(options)));
    CHECK(opened.ok());
    server = std::move(*opened);
    execute(test::small_cluster_map());
    for (std::uint32_t i = 1; i <= 3; ++i) daemons[i].drive = DriveId(i);
    restart({seconds(3), seconds(20)});
  }
  ~MonitorTest() override { EXPECT_TRUE(executor.run(server->close()).ok()); }

  void restart(MonitorOptions options) {
    monitor = std::make_unique<Monitor>(
        *server,
        [this](const DriveInfo& drive) -> StorageApi* {
          return unserved.contains(drive.id.value()) ? nullptr : &daemons[drive.id.value()].storage;
        },
        options);
  }
  void execute(proto::Command command) {
    const auto reply = executor.run(server->execute(std::move(command), MonotonicTime::max()));
    ASSERT_TRUE(reply.ok());
    ASSERT_EQ(reply->status().code(), 0) << reply->status().message();
  }
  void set_state(std::uint32_t drive, DriveState state) {
    proto::Command command;
    command.mutable_change_cluster()->mutable_set_drive_state()->set_drive(drive);
    command.mutable_change_cluster()->mutable_set_drive_state()->set_state(
        static_cast<std::uint32_t>(state));
    execute(std::move(command));
  }
  void looks(int count) {
    for (auto& [id, daemon] : daemons) daemon.prepare_answer();
    for (int i = 0; i < count; ++i) {
      clock.advance(seconds(1));
      executor.run(monitor->look());
    }
  }
  DriveState state_of(std::uint32_t drive) const {
    return server->machine().cluster_map().drive(DriveId(drive))->state;
  }
  Drives in_state(DriveState state) const {
    Drives found;
    for (const auto& [id, daemon] : daemons)
      if (state_of(id) == state) found.insert(id);
    return found;
  }

  VirtualClock clock;
  ManualExecutor executor{clock};
  PostingPool pool{executor};
  test::MemoryDisk disk;
  test::CheckpointDisk checkpoint;
  std::unique_ptr<BlockDirectory> directory = disk.directory();
  std::unique_ptr<MetadataServer> server;
  std::map<std::uint32_t, Daemon> daemons;
  Drives unserved;
  std::unique_ptr<Monitor> monitor;
};

TEST_F(MonitorTest, ADriveThatDoesNotAnswerIsDownThenOut) {
  looks(2);
  daemons[2].silent = true;
  looks(2);
  EXPECT_EQ(in_state(DriveState::kUp), (Drives{1, 2, 3}));
  looks(3);
  EXPECT_EQ(in_state(DriveState::kDown), Drives{2});
  looks(17);
  EXPECT_EQ(in_state(DriveState::kDown), Drives{2});
  looks(5);
  EXPECT_EQ(in_state(DriveState::kOut), Drives{2});
  EXPECT_EQ(in_state(DriveState::kUp), (Drives{1, 3}));
}

TEST_F(MonitorTest, WhatWasGivenUpComesBackOnlyByPeople) {
  daemons[2].silent = true;
  looks(40);
  ASSERT_EQ(in_state(DriveState::kOut), Drives{2});
  daemons[2].silent = false;
  looks(10);
  EXPECT_EQ(in_state(DriveState::kOut), Drives{2});
  set_state(2, DriveState::kUp);
  looks(10);
  EXPECT_EQ(in_state(DriveState::kUp), (Drives{1, 2, 3}));
}

TEST_F(MonitorTest, MoreThanTheCodeBearsAreNeverGivenUp) {
  looks(2);
  daemons[1].silent = daemons[2].silent = true;
  looks(300);
  EXPECT_EQ(in_state(DriveState::kDown), (Drives{1, 2}));
  EXPECT_EQ(in_state(DriveState::kOut), Drives{});
  daemons[1].silent = false;
  looks(2);
  EXPECT_EQ(in_state(DriveState::kUp), (Drives{1, 3}));
  EXPECT_EQ(in_state(DriveState::kOut), Drives{2});
  // Its group still needs it: another one that goes is down, and stays so.
  daemons[3].silent = true;
  looks(300);
  EXPECT_EQ(in_state(DriveState::kOut), Drives{2});
  EXPECT_EQ(in_state(DriveState::kDown), Drives{3});
}

TEST_F(MonitorTest, OneThatComesAndGoesIsNotGivenUp) {
  for (int round = 0; round < 20; ++round) {
    daemons[2].silent = true;
    looks(15);
    EXPECT_EQ(state_of(2), DriveState::kDown);
    daemons[2].silent = false;
    looks(1);
    EXPECT_EQ(state_of(2), DriveState::kUp);
  }
  EXPECT_EQ(in_state(DriveState::kOut), Drives{});
}

TEST_F(MonitorTest, ADriveThatAnswersThatItHasFailedIsDown) {
  looks(2);
  daemons[1].state = "full";
  daemons[2].state = "failed: the medium is gone";
  daemons[3].state = "hangs: 3 calls have not ended at their deadlines";
  looks(6);
  EXPECT_EQ(in_state(DriveState::kDown), Drives{2});
  looks(30);
  EXPECT_EQ(in_state(DriveState::kOut), Drives{2});
  EXPECT_EQ(in_state(DriveState::kUp), (Drives{1, 3}));
}

TEST_F(MonitorTest, ADriveThatNobodyServesIsDown) {
  daemons[1].serves_it = false;
  looks(6);
  EXPECT_EQ(in_state(DriveState::kDown), Drives{1});
  daemons[1].serves_it = true;
  unserved = {3};
  looks(6);
  EXPECT_EQ(in_state(DriveState::kDown), Drives{3});
  EXPECT_EQ(in_state(DriveState::kUp), (Drives{1, 2}));
}

TEST_F(MonitorTest, WithoutATimeForItNothingIsGivenUp) {
  restart({seconds(3), seconds(0)});
  daemons[2].silent = true;
  looks(1000);
  EXPECT_EQ(in_state(DriveState::kDown), Drives{2});
}

TEST_F(MonitorTest, ADrainingDriveThatIsSilentGoesOnDraining) {
  set_state(2, DriveState::kDraining);
  daemons[2].silent = true;
  looks(100);
  EXPECT_EQ(in_state(DriveState::kDraining), Drives{2});
}

TEST_F(MonitorTest, ARestartedMonitorBeginsToCountAnew) {
  daemons[2].silent = true;
  looks(20);
  ASSERT_EQ(state_of(2), DriveState::kDown);
  restart({seconds(3), seconds(20)});
  looks(15);
  EXPECT_EQ(state_of(2), DriveState::kDown) << "how long it was down before is not known";
  looks(10);
  EXPECT_EQ(state_of(2), DriveState::kOut);
}

TEST_F(MonitorTest, ItLooksEachSecondUntilItIsStopped) {
  daemons[1].prepare_answer();
  executor.post([this] { monitor->start(); });
  executor.run_until_idle(executor.now() + seconds(10));
  EXPECT_GE(daemons[1].storage.status_count, 9);
  EXPECT_LE(daemons[1].storage.status_count, 11);
  executor.run(monitor->stop());
  const int asked = daemons[1].storage.status_count;
  executor.run_until_idle(executor.now() + seconds(10));
  EXPECT_EQ(daemons[1].storage.status_count, asked);
}

}  // namespace
}  // namespace shoal::metad
