#include "base/io/event_loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/async/sync.h"

namespace shoal {
namespace {

struct EventLoopTest : testing::Test {
  void SetUp() override {
    loop = std::move(EventLoop::create("test-loop")).value();
    loop->start();
  }
  void TearDown() override {
    loop->stop();
    loop->join();
  }
  std::unique_ptr<EventLoop> loop;
};

Task<int> sleep_and_answer() {
  co_await sleep_for(std::chrono::milliseconds(1));
  co_return 7;
}

TEST_F(EventLoopTest, AThreadWaitsForACoroutine) {
  EXPECT_EQ(sync_wait(*loop, sleep_and_answer()), 7);
}

Task<int> count_to(EventLoop* other, int n) {
  int sum = 0;
  for (int i = 0; i < n; ++i) {
    sum += co_await run_on(*other, []() -> Task<int> { co_return 1; });
  }
  co_return sum;
}

TEST_F(EventLoopTest, TwoLoopsHandWorkBackAndForthWithoutLosingAWakeUp) {
  auto other = std::move(EventLoop::create("other-loop")).value();
  other->start();
  EXPECT_EQ(sync_wait(*loop, count_to(other.get(), 20'000)), 20'000);
  other->stop();
  other->join();
}

Task<Status> watch_pipe(EventLoop* loop, int fd, std::shared_ptr<Completion<int>> got) {
  co_return loop->watch(fd, EPOLLIN, [loop, fd, got](std::uint32_t) {
    char byte = 0;
    EXPECT_EQ(read(fd, &byte, 1), 1);
    loop->unwatch(fd);
    got->set(byte);
  });
}

Task<int> take(std::shared_ptr<Completion<int>> got) { co_return *co_await got->wait(); }

TEST_F(EventLoopTest, AWatchedDescriptorCallsBack) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  auto got = std::make_shared<Completion<int>>();
  ASSERT_TRUE(sync_wait(*loop, watch_pipe(loop.get(), fds[0], got)).ok());
  ASSERT_EQ(write(fds[1], "x", 1), 1);
  EXPECT_EQ(sync_wait(*loop, take(got)), 'x');
  close(fds[0]);
  close(fds[1]);
}

}  // namespace
}  // namespace shoal
