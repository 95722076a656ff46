#include "base/async/sync.h"

#include <gtest/gtest.h>

#include "base/async/manual_executor.h"

namespace shoal {
namespace {

using std::chrono::milliseconds;

struct SyncTest : testing::Test {
  VirtualClock clock;
  ManualExecutor executor{clock};
};

Task<int> add_later(int a, int b) {
  co_await sleep_for(milliseconds(5));
  co_return a + b;
}

TEST_F(SyncTest, SleepMovesTheVirtualClock) {
  const MonotonicTime start = clock.now();
  EXPECT_EQ(executor.run(add_later(2, 3)), 5);
  EXPECT_EQ(clock.now() - start, milliseconds(5));
}

Task<std::vector<int>> three_at_once() {
  std::vector<Task<int>> tasks;
  for (int i = 0; i < 3; ++i) tasks.push_back(add_later(i, 10));
  co_return co_await when_all(std::move(tasks));
}

TEST_F(SyncTest, WhenAllRunsSideBySideAndKeepsTheOrder) {
  const MonotonicTime start = clock.now();
  EXPECT_EQ(executor.run(three_at_once()), (std::vector<int>{10, 11, 12}));
  EXPECT_EQ(clock.now() - start, milliseconds(5));
}

Task<void> hold(AsyncMutex* mutex, std::vector<int>* order, int who) {
  auto guard = co_await mutex->lock();
  order->push_back(who);
  co_await sleep_for(milliseconds(1));
  order->push_back(who);
}

Task<void> three_holders(std::vector<int>* order) {
  AsyncMutex mutex;
  TaskScope scope;
  for (int i = 0; i < 3; ++i) scope.spawn(hold(&mutex, order, i));
  co_await scope.join();
}

TEST_F(SyncTest, MutexIsFirstComeFirstServedAndNeverShared) {
  std::vector<int> order;
  executor.run(three_holders(&order));
  EXPECT_EQ(order, (std::vector<int>{0, 0, 1, 1, 2, 2}));
}

Task<void> set_twice(Completion<int>* completion, std::vector<bool>* first) {
  first->push_back(completion->set(1));
  first->push_back(completion->set(2));
  co_return;
}

Task<int> wait_for(Completion<int>* completion, std::vector<bool>* first) {
  TaskScope scope;
  scope.spawn(set_twice(completion, first));
  const int value = *co_await completion->wait();
  co_await scope.join();
  co_return value;
}

TEST_F(SyncTest, TheFirstValueOfACompletionWins) {
  Completion<int> completion;
  std::vector<bool> first;
  EXPECT_EQ(executor.run(wait_for(&completion, &first)), 1);
  EXPECT_EQ(first, (std::vector<bool>{true, false}));
}

Task<Executor*> where_am_i() { co_return Executor::current(); }

Task<std::pair<Executor*, Executor*>> there_and_back(Executor* other) {
  Executor* there = co_await run_on(*other, [] { return where_am_i(); });
  co_return std::pair(there, Executor::current());
}

TEST_F(SyncTest, RunOnRunsThereAndComesBack) {
  ManualExecutor other(clock);
  std::optional<std::pair<Executor*, Executor*>> places;
  executor.post([&] {
    spawn([](Executor* o, auto* out) -> Task<void> { *out = co_await there_and_back(o); }(&other,
                                                                                          &places));
  });
  while (!places) {
    executor.run_ready();
    other.run_ready();
  }
  EXPECT_EQ(places->first, &other);
  EXPECT_EQ(places->second, &executor);
}

}  // namespace
}  // namespace shoal
