#include "metad/service/metadata_server.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/io/uring_device.h"
#include "metad/cluster/membership.h"
#include "tests/support/memory_checkpoint.h"
#include "tests/support/temp_directory.h"

namespace shoal::metad {
namespace {

// A server with its journal in a directory of its own.
struct Instance {
  std::unique_ptr<FileDirectory> directory;
  std::unique_ptr<MetadataServer> server;
};

Task<void> write_names(MetadataServer* server, std::uint64_t session, std::uint32_t slot, int from,
                       int count) {
  for (int i = from; i < from + count; ++i) {
    proto::Command command;
    command.set_session(session);
    command.set_slot(slot);
    command.set_sequence(static_cast<std::uint64_t>(i + 1));
    const std::string name = "file-" + std::to_string(slot) + "-" + std::to_string(i);
    if (i % 5 == 4) {  // the one before goes again
      command.mutable_unlink_file()->set_parent(kRootInode.value());
      command.mutable_unlink_file()->set_name("file-" + std::to_string(slot) + "-" +
                                              std::to_string(i - 1));
    } else {
      command.mutable_create_file()->set_parent(kRootInode.value());
      command.mutable_create_file()->set_name(name);
      command.mutable_create_file()->set_type(proto::REGULAR);
    }
    const auto reply = co_await server->execute(std::move(command), MonotonicTime::max());
    EXPECT_TRUE(reply.ok());
    EXPECT_EQ(reply->status().code(), 0) << reply->status().message();
  }
}

class MetadataServerTest : public testing::Test {
 protected:
  void SetUp() override {
    loop_ = std::move(EventLoop::create("metad-test")).value();
    io_ = std::move(IoContext::create(*loop_)).value();
    loop_->start();
  }
  void TearDown() override {
    loop_->stop();
    loop_->join();
    io_.reset();
  }
  Instance open(const std::string& name, test::CheckpointDisk* disk,
                std::uint64_t checkpoint_after = 1ULL << 40) {
    Instance instance;
    instance.directory = std::move(FileDirectory::open(*io_, temp_.path() + "/" + name)).value();
    MetadataOptions options;
    options.open_checkpoint = disk->opener();
    options.checkpoint_after_bytes = checkpoint_after;
    options.journal_segment_bytes = 4 << 20;
    auto opened = sync_wait(
        *loop_, MetadataServer::open(*instance.directory, io_->pool(), std::move(options)));
    EXPECT_TRUE(opened.ok()) << opened.status().to_string();
    if (opened.ok()) instance.server = std::move(*opened);
    return instance;
  }
  void close(Instance instance) {
    EXPECT_TRUE(sync_wait(*loop_, instance.server->close()).ok());
    instance.server.reset();
  }
  std::uint64_t open_session(MetadataServer* server) {
    proto::Command command;
    command.mutable_open_session()->set_slot_count(64);
    return sync_wait(*loop_, server->execute(std::move(command), MonotonicTime::max()))
        ->open_session()
        .session();
  }
  // Of so many drives, each on a host of its own.
  void make_map(MetadataServer* server, std::uint32_t drive_count) {
    std::vector<DriveInfo> drives(drive_count);
    for (std::uint32_t i = 0; i < drives.size(); ++i) {
      drives[i].id = DriveId(i + 1);
      drives[i].uuid = "uuid-" + std::to_string(i + 1);
      drives[i].host = "host-" + std::to_string(i + 1);
    }
    const CodeShape code{4, 2, MatrixId::kCauchy};
    const Status made = sync_wait(*loop_, update_cluster_map(server, "cluster", code, drives));
    ASSERT_TRUE(made.ok()) << made.to_string();
  }
  // Many at the same time; with `checkpoint`, and a checkpoint among them.
  Status run_load(MetadataServer* server, std::uint64_t session, int from, int count,
                  bool checkpoint) {
    struct Run {
      static Task<Status> run(MetadataServer* target, std::uint64_t id, int first, int each,
                              bool with_checkpoint) {
        TaskScope scope;
        for (std::uint32_t slot = 0; slot < 64; ++slot)
          scope.spawn(write_names(target, id, slot, first, each));
        Status taken;
        if (with_checkpoint) taken = co_await target->checkpoint();
        co_await scope.join();
        co_return taken;
      }
    };
    return sync_wait(*loop_, Run::run(server, session, from, count, checkpoint));
  }
  // Every name with its attributes.
  std::string listing(MetadataServer* server) {
    std::string all;
    proto::ReadDirectory page;
    page.set_inode(kRootInode.value());
    page.set_limit(1000);
    for (bool more = true; more;) {
      proto::Query query;
      *query.mutable_read_directory() = page;
      auto reply = sync_wait(*loop_, server->query(std::move(query), MonotonicTime::max()));
      EXPECT_TRUE(reply.ok());
      more = reply->directory().more();
      for (const auto& entry : reply->directory().entries()) {
        all += entry.SerializeAsString();
        page.set_marker(entry.cookie());
      }
    }
    return all;
  }

  test::TempDirectory temp_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<IoContext> io_;
};

TEST_F(MetadataServerTest, ACheckpointAmongCommandsIsTheStateAtItsPosition) {
  test::CheckpointDisk disk;
  Instance first = open("a", &disk);
  const std::uint64_t session = open_session(first.server.get());
  // More than one slice is noted before the checkpoint begins.
  ASSERT_TRUE(run_load(first.server.get(), session, 0, 200, false).ok());
  ASSERT_TRUE(run_load(first.server.get(), session, 200, 50, true).ok());
  ASSERT_TRUE(disk.position.has_value());
  const std::uint64_t last = first.server->machine().applied_position();
  EXPECT_LT(*disk.position, last) << "commands went on after the checkpoint";
  EXPECT_GT(*disk.position, 200U * 64) << "commands went on while it was collected";
  // As after a crash: what the disks hold now.
  std::filesystem::copy(temp_.path() + "/a", temp_.path() + "/b");
  test::CheckpointDisk copy = disk;
  Instance second = open("b", &copy);
  EXPECT_EQ(second.server->machine().applied_position(), last);
  EXPECT_EQ(listing(second.server.get()), listing(first.server.get()));
  close(std::move(second));
  const std::string before = listing(first.server.get());
  close(std::move(first));
  Instance third = open("a", &disk);
  EXPECT_EQ(listing(third.server.get()), before);
  close(std::move(third));
}

TEST_F(MetadataServerTest, AFailedCheckpointLosesNothingAndIsTriedAgain) {
  test::CheckpointDisk disk;
  Instance first = open("a", &disk);
  const std::uint64_t session = open_session(first.server.get());
  ASSERT_TRUE(run_load(first.server.get(), session, 0, 20, false).ok());
  disk.fails = NoSpaceError("the disk is full");
  EXPECT_EQ(sync_wait(*loop_, first.server->checkpoint()).code(), StatusCode::kNoSpace);
  proto::Query query;
  query.mutable_get_status();
  auto status = sync_wait(*loop_, first.server->query(query, MonotonicTime::max()));
  EXPECT_EQ(status->metadata_status().checkpoint_failure(), "the disk is full");
  // The service goes on, and the next checkpoint has everything.
  ASSERT_TRUE(run_load(first.server.get(), session, 20, 5, false).ok());
  disk.fails = OkStatus();
  ASSERT_TRUE(sync_wait(*loop_, first.server->checkpoint()).ok());
  status = sync_wait(*loop_, first.server->query(query, MonotonicTime::max()));
  EXPECT_EQ(status->metadata_status().checkpoint_failure(), "");
  const std::string before = listing(first.server.get());
  std::filesystem::create_directory(temp_.path() + "/empty");
  test::CheckpointDisk copy = disk;
  Instance second = open("empty", &copy);  // the checkpoint alone
  EXPECT_EQ(listing(second.server.get()), before);
  close(std::move(second));
  close(std::move(first));
}

TEST_F(MetadataServerTest, AFailedCheckpointIsNotTriedAgainWithEveryCommand) {
  test::CheckpointDisk disk;
  disk.fails = IoError("broken");
  Instance first = open("a", &disk, 64 * 1024);
  const std::uint64_t session = open_session(first.server.get());
  ASSERT_TRUE(run_load(first.server.get(), session, 0, 50, false).ok());
  EXPECT_GE(disk.writes, 1);
  EXPECT_LT(disk.writes, 60);  // 3200 commands, 80 bytes each, in steps of 16 KiB
  disk.fails = OkStatus();
  close(std::move(first));
  EXPECT_TRUE(disk.position.has_value());
}

// Clients ask for packs again and again for as long as an outage lasts.
TEST_F(MetadataServerTest, ALeaseThatIsRefusedIsNotJournaled) {
  test::CheckpointDisk disk;
  Instance instance = open("a", &disk);
  const std::uint64_t session = open_session(instance.server.get());
  const std::uint64_t position = instance.server->machine().applied_position();
  const auto lease = [&](std::uint64_t sequence) {
    proto::Command command;
    command.set_session(session);
    command.set_sequence(sequence);
    command.mutable_lease_packs()->set_count(1);
    const auto reply =
        sync_wait(*loop_, instance.server->execute(std::move(command), MonotonicTime::max()));
    EXPECT_TRUE(reply.ok());
    return status_code_from_wire(reply->status().code());
  };
  EXPECT_EQ(lease(1), StatusCode::kUnavailable);
  EXPECT_EQ(lease(2), StatusCode::kUnavailable);
  EXPECT_EQ(instance.server->machine().applied_position(), position);
  make_map(instance.server.get(), 6);
  // Sent again, and a new one.
  EXPECT_EQ(lease(2), StatusCode::kOk);
  EXPECT_EQ(lease(3), StatusCode::kOk);
  EXPECT_EQ(instance.server->machine().applied_position(), position + 3);
  close(std::move(instance));
}

// Leases that are under way when a drive is given up: groups that had no packs when it was planned
// have some when it is applied.
TEST_F(MetadataServerTest, AChangeOfTheMapThatLeasesOvertakeIsPlannedAgain) {
  test::CheckpointDisk disk;
  Instance instance = open("a", &disk);
  make_map(instance.server.get(), 8);
  struct Run {
    static Task<void> change(MetadataServer* server, proto::Command command) {
      const auto reply = co_await server->execute(std::move(command), MonotonicTime::max());
      EXPECT_TRUE(reply.ok());
      EXPECT_EQ(reply->status().code(), 0) << reply->status().message();
    }
    static Task<Status> run(MetadataServer* server, std::uint64_t session) {
      TaskScope scope;
      proto::Command lease;
      lease.set_session(session);
      lease.set_sequence(1);
      lease.mutable_lease_packs()->set_count(8);
      scope.spawn(change(server, std::move(lease)));
      for (const std::uint32_t drive : {3U, 4U}) {
        proto::Command out;
        auto* set = out.mutable_change_cluster()->mutable_set_drive_state();
        set->set_drive(drive);
        set->set_state(static_cast<std::uint32_t>(DriveState::kOut));
        scope.spawn(change(server, std::move(out)));
      }
      co_await scope.join();
      co_return OkStatus();
    }
  };
  const std::uint64_t session = open_session(instance.server.get());
  ASSERT_TRUE(sync_wait(*loop_, Run::run(instance.server.get(), session)).ok());
  const ClusterMap& map = instance.server->machine().cluster_map();
  EXPECT_EQ(map.drive(DriveId(3))->state, DriveState::kOut);
  EXPECT_EQ(map.drive(DriveId(4))->state, DriveState::kOut);
  std::size_t moves = 0;
  for (const PlacementGroup& group : map.groups) moves += group.moves.size();
  EXPECT_GT(moves, 0U) << "what the leased packs hold is to be moved";
  close(std::move(instance));
}

// Planned anew it might become another map than the one that was answered.
TEST_F(MetadataServerTest, AChangeOfTheMapWithoutItsPlanIsRefusedByName) {
  auto directory = std::move(FileDirectory::open(*io_, temp_.path() + "/a")).value();
  struct Write {
    static Task<Status> run(BlockDirectory* directory) {
      auto journal = co_await Journal::open(*directory, 4 << 20, 0,
                                            [](std::uint64_t, auto) { return OkStatus(); });
      if (!journal.ok()) co_return journal.status();
      proto::Command command;
      command.mutable_change_cluster()->mutable_set_drive_state()->set_drive(1);
      const std::string bytes = command.SerializeAsString();
      std::vector<std::string_view> commands{bytes};
      const Status written = co_await (*journal)->write(1, std::move(commands));
      co_await (*journal)->close();
      co_return written;
    }
  };
  ASSERT_TRUE(sync_wait(*loop_, Write::run(directory.get())).ok());
  test::CheckpointDisk disk;
  MetadataOptions options;
  options.open_checkpoint = disk.opener();
  options.journal_segment_bytes = 4 << 20;
  const auto opened =
      sync_wait(*loop_, MetadataServer::open(*directory, io_->pool(), std::move(options)));
  EXPECT_EQ(opened.status().code(), StatusCode::kNotSupported);
  EXPECT_NE(opened.status().message().find("position 1 "), std::string::npos)
      << opened.status().message();
}

}  // namespace
}  // namespace shoal::metad
