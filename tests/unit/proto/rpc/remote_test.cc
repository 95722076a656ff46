// RemoteStorage against RpcServer over loopback TCP, with a storage daemon in memory behind it.
#include "proto/rpc/remote.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "base/crc32c.h"
#include "base/io/event_loop.h"
#include "proto/rpc/services.h"
#include "proto/wire/storage_convert.h"
#include "tests/support/fake_storage.h"

namespace shoal::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kCluster[] = "11111111-2222-4333-8444-555555555555";
constexpr char kOtherCluster[] = "99999999-2222-4333-8444-555555555555";
const DriveId kDrive(0);

WriteFragmentRequest fragment(std::uint32_t row, std::size_t size) {
  WriteFragmentRequest request;
  request.drive = kDrive;
  request.key = {make_pack_id(PgId(3), 4), row, 0};
  request.shape.code = {1, 1, MatrixId::kCauchy};
  request.shape.heights[0] = static_cast<std::uint32_t>(size);
  request.shape.lease_epoch = 5;
  Buffer bytes = Buffer::allocate(size);
  for (std::size_t i = 0; i < size; ++i)
    bytes.mutable_data()[i] = static_cast<std::byte>(i * 31 + row);
  request.page_crcs = page_crc32cs(bytes.span());
  // In two pieces, one of them not page-aligned.
  if (size > 100) {
    request.payload = {bytes.slice(0, 100), bytes.slice(100, size - 100)};
  } else {
    request.payload = {bytes};
  }
  return request;
}

class RemoteTest : public testing::Test {
 protected:
  void SetUp() override {
    server_loop_ = EventLoop::create("server").value();
    client_loop_ = EventLoop::create("client").value();
    server_loop_->start();
    client_loop_->start();
    storage_.add_drives(1);
    start_server("127.0.0.1:0");
    open_channel(kCluster);
  }
  void TearDown() override {
    close_channel();
    if (server_ != nullptr) server_->stop();
    for (EventLoop* loop : {client_loop_.get(), server_loop_.get()}) {
      loop->stop();
      loop->join();
    }
  }
  void start_server(const std::string& address) {
    auto server = RpcServer::listen(*server_loop_, {address, kCluster, "storaged"},
                                    storage_service(storage_));
    ASSERT_TRUE(server.ok()) << server.status().to_string();
    server_ = std::move(*server);
  }
  void open_channel(const std::string& cluster) {
    close_channel();
    channel_ = std::make_unique<RpcChannel>(*client_loop_,
                                            ChannelOptions{server_->address(), "test", cluster});
    remote_ = std::make_unique<RemoteStorage>(*channel_);
  }
  void close_channel() {
    if (channel_ == nullptr) return;
    sync_wait(*client_loop_, channel_->close());
    remote_.reset();
    channel_.reset();
  }
  MonotonicTime in(Duration duration) { return system_clock().now() + duration; }
  template <typename T>
  T wait(Task<T> task) {
    return sync_wait(*client_loop_, std::move(task));
  }

  test::FakeStorage storage_;
  std::unique_ptr<EventLoop> server_loop_;
  std::unique_ptr<EventLoop> client_loop_;
  std::unique_ptr<RpcServer> server_;
  std::unique_ptr<RpcChannel> channel_;
  std::unique_ptr<RemoteStorage> remote_;
};

TEST_F(RemoteTest, FragmentsOfAllSizesComeBack) {
  std::uint32_t row = 0;
  for (const std::size_t size : {1UL, 100UL, 4096UL, 65'537UL, std::size_t{kMaxColumnBytes}}) {
    const WriteFragmentRequest request = fragment(++row, size);
    const Status written = wait(remote_->write_fragment(request, in(seconds(10))));
    ASSERT_TRUE(written.ok()) << written.to_string();
    const auto all = wait(remote_->read_fragment(
        {kDrive, request.key, 0, static_cast<std::uint32_t>(size), true}, in(seconds(10))));
    ASSERT_TRUE(all.ok()) << all.status().to_string();
    EXPECT_EQ(all->view(), flatten(request.payload).view());
    const auto shape = wait(remote_->row_shape(kDrive, request.key.pack, row, in(seconds(10))));
    ASSERT_TRUE(shape.ok());
    EXPECT_EQ(*shape, request.shape);
  }
  for (const FragmentDetail detail :
       {FragmentDetail::kIndexed, FragmentDetail::kShape, FragmentDetail::kRecord}) {
    const auto listed = wait(
        remote_->list_fragments(kDrive, make_pack_id(PgId(3), 4), 0, 100, detail, in(seconds(10))));
    ASSERT_TRUE(listed.ok());
    ASSERT_EQ(listed->size(), 5U);
    EXPECT_EQ(listed->front().stored_bytes, 1U);
    EXPECT_EQ(listed->front().shape.has_value(), detail != FragmentDetail::kIndexed);
    EXPECT_EQ(storage_.last_list_detail(), detail);
  }
}

TEST(StorageConvertTest, ShapesThatWereAskedForAndLackAreAnError) {
  proto::StorageReply reply;
  reply.add_fragments()->set_row(7);
  EXPECT_TRUE(wire::fragments_from_proto(PackId(1), FragmentDetail::kIndexed, reply).ok());
  EXPECT_FALSE(wire::fragments_from_proto(PackId(1), FragmentDetail::kShape, reply).ok());
}

TEST_F(RemoteTest, ARepairTravelsAsOneAndDamageIsListed) {
  WriteFragmentRequest request = fragment(1, 5000);
  request.key.column = 1;
  request.directory = {{InodeId(7), 8, 0, 9, 10, 11}};
  const FragmentKey key = request.key;
  ASSERT_TRUE(wait(remote_->write_fragment(request, in(seconds(10)))).ok());
  const auto directory = wait(remote_->row_directory(kDrive, key, in(seconds(10))));
  ASSERT_TRUE(directory.ok()) << directory.status().to_string();
  ASSERT_EQ(directory->size(), 1U);
  EXPECT_EQ(directory->at(0).inode, InodeId(7));
  EXPECT_EQ(directory->at(0).crc32c, 11U);
  storage_.mark_damaged(kDrive, key, "a flipped page");
  auto damaged = wait(remote_->damaged_fragments(kDrive, {}, 10, in(seconds(10))));
  ASSERT_TRUE(damaged.ok());
  ASSERT_EQ(damaged->size(), 1U);
  EXPECT_EQ(damaged->at(0).key, key);
  EXPECT_EQ(damaged->at(0).what, "a flipped page");
  EXPECT_TRUE(wait(remote_->damaged_fragments(kDrive, key, 10, in(seconds(10))))->empty());
  EXPECT_EQ(wait(remote_->status(in(seconds(10))))->at(0).damaged_fragments, 1U);
  ASSERT_TRUE(wait(remote_->seal_pack(kDrive, key.pack, 5, in(seconds(10)))).ok());
  EXPECT_EQ(wait(remote_->write_fragment(request, in(seconds(10)))).code(), StatusCode::kFenced);
  request.repair = true;
  EXPECT_TRUE(wait(remote_->write_fragment(request, in(seconds(10)))).ok());
  EXPECT_TRUE(wait(remote_->damaged_fragments(kDrive, {}, 10, in(seconds(10))))->empty());
  ASSERT_TRUE(wait(remote_->evict_pack(kDrive, key.pack, in(seconds(10)))).ok());
  EXPECT_EQ(wait(remote_->row_directory(kDrive, key, in(seconds(10)))).status().code(),
            StatusCode::kNotFound);
}

TEST_F(RemoteTest, ErrorsKeepTheirCodeAndText) {
  const auto missing = wait(remote_->read_fragment(
      {kDrive, {make_pack_id(PgId(3), 4), 77, 0}, 0, 10, true}, in(seconds(10))));
  EXPECT_EQ(missing.status().code(), StatusCode::kNotFound);
  storage_.faults(kDrive).write_error = NoSpaceError("drive 0 is full");
  const Status full = wait(remote_->write_fragment(fragment(1, 10), in(seconds(10))));
  EXPECT_EQ(full, NoSpaceError("drive 0 is full"));
}

Task<std::size_t> write_many(RemoteStorage* remote, std::uint32_t count, MonotonicTime deadline) {
  std::vector<Task<Status>> writes;
  for (std::uint32_t i = 0; i < count; ++i)
    writes.push_back(remote->write_fragment(fragment(i + 1, 4096), deadline));
  const auto results = co_await when_all(std::move(writes));
  std::size_t good = 0;
  for (const Status& status : results) good += status.ok() ? 1 : 0;
  co_return good;
}

TEST_F(RemoteTest, ManyAtOnceAreMatchedById) {
  EXPECT_EQ(wait(write_many(remote_.get(), 3000, in(seconds(30)))), 3000U);
  EXPECT_EQ(storage_.write_count(), 3000U);
}

TEST_F(RemoteTest, ADriveThatHangsEndsAtTheDeadline) {
  storage_.faults(kDrive).hang_writes = true;
  const MonotonicTime begin = system_clock().now();
  const Status status = wait(remote_->write_fragment(fragment(1, 10), in(milliseconds(200))));
  EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_LT(system_clock().now() - begin, seconds(20));
}

TEST_F(RemoteTest, AServerThatComesBackIsFoundAgain) {
  ASSERT_TRUE(wait(remote_->write_fragment(fragment(1, 10), in(seconds(10)))).ok());
  const std::string address = server_->address();
  server_->stop();
  server_.reset();
  const Status gone = wait(remote_->write_fragment(fragment(2, 10), in(seconds(10))));
  EXPECT_EQ(gone.code(), StatusCode::kUnavailable) << gone.to_string();
  start_server(address);
  Status back = UnavailableError("");
  for (int i = 0; i < 100 && back.code() == StatusCode::kUnavailable; ++i) {
    back = wait(remote_->write_fragment(fragment(2, 10), in(seconds(10))));
    if (!back.ok()) usleep(50'000);
  }
  EXPECT_TRUE(back.ok()) << back.to_string();
}

TEST_F(RemoteTest, AnotherClustersClientIsRefused) {
  open_channel(kOtherCluster);
  const Status status = wait(remote_->write_fragment(fragment(1, 10), in(seconds(10))));
  EXPECT_EQ(status.code(), StatusCode::kFenced) << status.to_string();
  EXPECT_NE(status.message().find(kCluster), std::string::npos) << status.to_string();
  EXPECT_EQ(storage_.write_count(), 0U);
}

TEST_F(RemoteTest, TheClusterIsLearntFromTheFirstAnswer) {
  open_channel("");
  ASSERT_TRUE(wait(remote_->status(in(seconds(10)))).ok());
  EXPECT_EQ(channel_->cluster_uuid(), kCluster);
}

TEST_F(RemoteTest, AMetadataRequestIsRefusedByAStorageDaemon) {
  RemoteMetadata metadata(*channel_);
  const auto reply = wait(metadata.query(proto::Query(), in(seconds(10))));
  EXPECT_EQ(reply.status().code(), StatusCode::kNotSupported) << reply.status().to_string();
}

TEST_F(RemoteTest, GarbageOnThePortHarmsNobody) {
  const std::string address = server_->address();
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port =
      htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  const std::string garbage(100'000, 'G');
  EXPECT_GT(send(fd, garbage.data(), garbage.size(), MSG_NOSIGNAL), 0);
  EXPECT_TRUE(wait(remote_->write_fragment(fragment(1, 10), in(seconds(10)))).ok());
  close(fd);
}

// A peer that answers the first two calls only after three seconds, and the others at once.
class SlowPeerTest : public RemoteTest {
 protected:
  struct Outcomes {
    StatusCode brief = StatusCode::kOk;    // with a deadline of half a second
    StatusCode patient = StatusCode::kOk;  // with one of a minute, on the same connection
  };

  void SetUp() override {
    RemoteTest::SetUp();
    close_channel();
    server_->stop();
    const auto answer = [this](Message request, MonotonicTime) -> Task<Result<Message>> {
      if (calls_++ < 2) co_await sleep_until(Executor::current()->now() + seconds(3));
      co_return request;
    };
    server_ = RpcServer::listen(*server_loop_, {"127.0.0.1:0", kCluster, "slow"}, answer).value();
    channel_ = std::make_unique<RpcChannel>(
        *client_loop_,
        ChannelOptions{server_->address(), "test", kCluster, /*silence=*/milliseconds(200)});
  }
  Task<void> call(Duration patience, StatusCode* code) {
    Message request{Service::kStorage, "?", {}};
    const auto reply = co_await channel_->call(std::move(request), in(patience));
    *code = reply.status().code();
  }
  Task<Outcomes> call_both(bool others) {
    Outcomes outcomes;
    TaskScope calls;
    calls.spawn(call(milliseconds(500), &outcomes.brief));
    calls.spawn(call(seconds(60), &outcomes.patient));
    co_await sleep_until(in(milliseconds(100)));  // both have been sent
    StatusCode other = StatusCode::kOk;
    if (others) co_await call(seconds(60), &other);
    EXPECT_EQ(other, StatusCode::kOk);
    co_await calls.join();
    co_return outcomes;
  }

  int calls_ = 0;
};

TEST_F(SlowPeerTest, AConnectionOnWhichNothingComesIsGivenUp) {
  const Outcomes outcomes = wait(call_both(false));
  EXPECT_EQ(outcomes.brief, StatusCode::kDeadlineExceeded);
  EXPECT_EQ(outcomes.patient, StatusCode::kUnavailable);
  StatusCode next = StatusCode::kAborted;
  wait(call(seconds(60), &next));
  EXPECT_EQ(next, StatusCode::kOk);
}

TEST_F(SlowPeerTest, AConnectionOnWhichOthersAreAnsweredIsKept) {
  const Outcomes outcomes = wait(call_both(true));
  EXPECT_EQ(outcomes.brief, StatusCode::kDeadlineExceeded);
  EXPECT_EQ(outcomes.patient, StatusCode::kOk);
}

TEST_F(RemoteTest, TooLargeARequestIsNotSent) {
  Message request{Service::kStorage, std::string(kMaxEntryBytes + 1, 'x'), {}};
  const auto reply = wait(channel_->call(std::move(request), in(seconds(10))));
  EXPECT_EQ(reply.status().code(), StatusCode::kTooLarge);
}

TEST_F(RemoteTest, APortInUseIsAClearError) {
  const auto second = RpcServer::listen(*server_loop_, {server_->address(), kCluster, "storaged"},
                                        storage_service(storage_));
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find(server_->address()), std::string::npos);
}

}  // namespace
}  // namespace shoal::rpc
