#include "base/async/manual_executor.h"

#include <gtest/gtest.h>

namespace shoal {
namespace {

using std::chrono::milliseconds;

struct ManualExecutorTest : testing::Test {
  VirtualClock clock;
  ManualExecutor executor{clock};
  std::vector<int> ran;
};

TEST_F(ManualExecutorTest, WorkRunsInTheOrderOfPostingAndNeverInsidePost) {
  executor.post([&] {
    ran.push_back(1);
    executor.post([&] { ran.push_back(3); });
    ran.push_back(2);
  });
  EXPECT_TRUE(ran.empty());
  EXPECT_FALSE(executor.idle());
  executor.run_ready();
  EXPECT_EQ(ran, (std::vector<int>{1, 2, 3}));
  EXPECT_TRUE(executor.idle());
  EXPECT_FALSE(executor.run_one());
}

TEST_F(ManualExecutorTest, CurrentIsSetWhileWorkRunsAndOnlyThen) {
  EXPECT_EQ(Executor::current(), nullptr);
  ManualExecutor other(clock);
  Executor* inner = nullptr;
  Executor* after = nullptr;
  executor.post([&] {
    other.post([&] { inner = Executor::current(); });
    other.run_ready();
    after = Executor::current();
  });
  executor.run_ready();
  EXPECT_EQ(inner, &other);
  EXPECT_EQ(after, &executor);
  EXPECT_EQ(Executor::current(), nullptr);
}

TEST_F(ManualExecutorTest, TimersFireInTheOrderOfTheirTimeThenOfTheirMaking) {
  const MonotonicTime start = clock.now();
  executor.schedule_at(start + milliseconds(20), [&] { ran.push_back(3); });
  executor.schedule_at(start + milliseconds(10), [&] { ran.push_back(1); });
  executor.schedule_at(start + milliseconds(10), [&] { ran.push_back(2); });
  EXPECT_EQ(executor.next_timer(), start + milliseconds(10));
  executor.run_ready();
  EXPECT_TRUE(ran.empty());
  executor.run_until_idle();
  EXPECT_EQ(ran, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(clock.now(), start + milliseconds(20));
  EXPECT_EQ(executor.next_timer(), MonotonicTime::max());
}

TEST_F(ManualExecutorTest, TheClockStopsAtTheLimit) {
  const MonotonicTime start = clock.now();
  for (int i = 1; i <= 3; ++i)
    executor.schedule_at(start + milliseconds(10 * i), [&, i] { ran.push_back(i); });
  executor.run_until_idle(start + milliseconds(20));
  EXPECT_EQ(ran, (std::vector<int>{1, 2}));
  EXPECT_EQ(clock.now(), start + milliseconds(20));
}

TEST_F(ManualExecutorTest, ACancelledTimerDoesNotFire) {
  const TimerId first =
      executor.schedule_at(clock.now() + milliseconds(1), [&] { ran.push_back(1); });
  const TimerId second =
      executor.schedule_at(clock.now() + milliseconds(2), [&] { ran.push_back(2); });
  executor.cancel(first);
  executor.run_until_idle();
  EXPECT_EQ(ran, std::vector<int>{2});
  executor.cancel(second);  // it ran already
  executor.cancel(TimerId{});
  executor.cancel(TimerId{999});
}

TEST_F(ManualExecutorTest, OneClockForSeveralExecutors) {
  ManualExecutor other(clock);
  const MonotonicTime start = clock.now();
  executor.schedule_at(start + milliseconds(5), [&] { ran.push_back(1); });
  executor.run_until_idle();
  EXPECT_EQ(other.now(), start + milliseconds(5));
  EXPECT_EQ(other.clock().wall_now_ns() % 1'000'000'000, 5'000'000);
  clock.advance_to(start);  // never backwards
  EXPECT_EQ(clock.now(), start + milliseconds(5));
}

}  // namespace
}  // namespace shoal
