// Which cluster map a session keeps.
#include "client/metadata_client.h"

#include <gtest/gtest.h>

#include "base/async/manual_executor.h"
#include "base/async/sync.h"
#include "proto/wire/convert.h"

namespace shoal::client {
namespace {

constexpr std::uint32_t kDrives = 3;

// A metad of which only sessions and the cluster map are there. Answers to queries for the map are
// held back when asked to.
class MapServer final : public MetadataApi {
 public:
  std::uint64_t epoch = 1;
  bool hold = false;

  Task<Result<proto::CommandReply>> execute(proto::Command command, MonotonicTime) override {
    co_await yield();
    proto::CommandReply reply;
    if (command.has_open_session()) {
      reply.mutable_open_session()->set_session(++session_);
      reply.mutable_open_session()->set_lease_ms(30'000);
    }
    co_return reply;
  }
  Task<Result<proto::QueryReply>> query(proto::Query query, MonotonicTime) override {
    co_await yield();
    proto::QueryReply reply;
    if (query.session() != session_) {
      wire::status_to_proto(FencedError("no such session"), reply.mutable_status());
      co_return reply;
    }
    if (query.has_get_cluster_map() && query.get_cluster_map().known_epoch() != epoch)
      *reply.mutable_cluster_map() = wire::cluster_map_to_proto(map());
    if (hold) {
      const int number = held_++;
      while (released_ <= number) co_await wake_.wait();
    }
    co_return reply;
  }
  void lose_session() { ++session_; }
  int held() const { return held_; }
  void release() {
    ++released_;
    wake_.notify_all();
  }

 private:
  ClusterMap map() const {
    ClusterMap map;
    map.epoch = epoch;
    for (std::uint32_t id = 1; id <= kDrives; ++id) {
      DriveInfo drive;
      drive.id = DriveId(id);
      map.drives.push_back(drive);
    }
    return map;
  }

  std::uint64_t session_ = 0;
  int held_ = 0;
  int released_ = 0;
  Signal wake_;
};

class MetadataClientTest : public testing::Test {
 protected:
  void SetUp() override {
    client_ = make_metadata_client({server_, executor_, random_, "test"});
    server_.epoch = 7;
    ASSERT_TRUE(executor_.run(client_->connect()).ok());
    ASSERT_EQ(client_->cluster_map()->epoch, 7U);
  }
  void TearDown() override { (void)executor_.run(client_->close()); }
  Task<void> refresh() {
    const Status refreshed = co_await client_->refresh_cluster_map();
    EXPECT_TRUE(refreshed.ok());
  }
  Task<void> an_older_answer_comes_last() {
    TaskScope refreshing;
    server_.hold = true;
    server_.epoch = 8;
    refreshing.spawn(refresh());
    while (server_.held() == 0) co_await yield();
    server_.hold = false;
    server_.epoch = 9;
    co_await refresh();
    EXPECT_EQ(client_->cluster_map()->epoch, 9U);
    server_.release();
    co_await refreshing.join();
  }

  VirtualClock clock_;
  ManualExecutor executor_{clock_};
  SeededRandom random_{1};
  MapServer server_;
  std::unique_ptr<MetadataClient> client_;
};

TEST_F(MetadataClientTest, OfTwoAnswersTheOlderMayComeLast) {
  executor_.run(an_older_answer_comes_last());
  EXPECT_EQ(client_->cluster_map()->epoch, 9U);
}

// metad was loaded from a dump that is older than the map at hand.
TEST_F(MetadataClientTest, ANewSessionMayHaveAnOlderMap) {
  int heard = 0;
  const auto owner = std::make_shared<int>();
  client_->on_new_map(owner, [&heard] { ++heard; });
  server_.epoch = 3;
  server_.lose_session();
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(executor_.run(client_->refresh_cluster_map()).ok());
  EXPECT_EQ(client_->cluster_map()->epoch, 3U);
  EXPECT_EQ(heard, 1);
  server_.epoch = 4;
  ASSERT_TRUE(executor_.run(client_->refresh_cluster_map()).ok());
  EXPECT_EQ(client_->cluster_map()->epoch, 4U);
}

}  // namespace
}  // namespace shoal::client
