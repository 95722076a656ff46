#include "base/async/sync.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

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

Task<void> wait_and_note(Completion<std::string>* completion, std::vector<std::string>* seen) {
  seen->push_back(*co_await completion->wait());
}

Task<void> three_waiters(Completion<std::string>* completion, std::vector<std::string>* seen) {
  TaskScope scope;
  for (int i = 0; i < 3; ++i) scope.spawn(wait_and_note(completion, seen));
  co_await yield();
  seen->push_back("set");
  completion->set("value");
  seen->push_back("nobody ran inside set()");
  co_await scope.join();
}

TEST_F(SyncTest, EveryWaiterOfACompletionGetsTheValueLater) {
  Completion<std::string> completion;
  std::vector<std::string> seen;
  EXPECT_FALSE(completion.ready());
  executor.run(three_waiters(&completion, &seen));
  EXPECT_TRUE(completion.ready());
  EXPECT_EQ(seen, (std::vector<std::string>{"set", "nobody ran inside set()", "value", "value",
                                            "value"}));
}

TEST_F(SyncTest, TheOnlyWaiterMayTakeTheValue) {
  Completion<std::unique_ptr<int>> completion;
  EXPECT_TRUE(completion.set(std::make_unique<int>(3)));  // before anybody waits
  EXPECT_EQ(*executor.run(completion.take()), 3);
}

Task<void> wait_until_true(Signal* signal, const bool* condition, int* looks) {
  while (!*condition) {
    ++*looks;
    co_await signal->wait();
  }
}

Task<int> notify_thrice(Signal* signal) {
  bool condition = false;
  int looks = 0;
  TaskScope scope;
  scope.spawn(wait_until_true(signal, &condition, &looks));
  for (int i = 0; i < 3; ++i) {
    condition = i == 2;
    signal->notify_all();
    co_await yield();
  }
  co_await scope.join();
  co_return looks;
}

TEST_F(SyncTest, ASignalWakesThoseWhoWaitNowAndOnlyThem) {
  Signal signal;
  signal.notify_all();  // nobody is there: it is forgotten
  EXPECT_FALSE(signal.has_waiters());
  EXPECT_EQ(executor.run(notify_thrice(&signal)), 3);
  EXPECT_FALSE(signal.has_waiters());
}

Task<void> take_permits(AsyncSemaphore* semaphore, std::uint64_t count, std::vector<int>* order,
                        int who) {
  co_await semaphore->acquire(count);
  order->push_back(who);
}

Task<void> big_before_small(std::vector<int>* order, std::uint64_t* left) {
  AsyncSemaphore semaphore(4);
  TaskScope scope;
  scope.spawn(take_permits(&semaphore, 3, order, 1));
  scope.spawn(take_permits(&semaphore, 4, order, 2));  // waits
  scope.spawn(take_permits(&semaphore, 1, order, 3));  // would fit, but comes after
  co_await yield();
  EXPECT_EQ(*order, std::vector<int>{1});
  EXPECT_FALSE(semaphore.try_acquire(1));
  semaphore.release(2);
  co_await yield();
  EXPECT_EQ(*order, std::vector<int>{1});
  semaphore.release(1);
  co_await yield();
  EXPECT_EQ(*order, (std::vector<int>{1, 2}));
  semaphore.release(4);
  co_await scope.join();
  *left = semaphore.available();
  EXPECT_TRUE(semaphore.try_acquire(3));
  EXPECT_FALSE(semaphore.try_acquire(1));
}

TEST_F(SyncTest, PermitsAreGivenInTheOrderOfAsking) {
  std::vector<int> order;
  std::uint64_t left = 0;
  executor.run(big_before_small(&order, &left));
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(left, 3U);
}

Task<bool> ask_for_more_than_there_is() {
  AsyncSemaphore semaphore(2);
  co_await semaphore.acquire(1);
  std::vector<int> order;
  TaskScope scope;
  scope.spawn(take_permits(&semaphore, 5, &order, 1));
  co_await yield();
  semaphore.release(1);
  co_await yield();
  const bool got_all = order.size() == 1;
  semaphore.release(got_all ? 5 : 3);
  co_await scope.join();
  co_return got_all;
}

// As the head of acquire() promises: a request larger than the total waits for all of them.
TEST_F(SyncTest, ARequestLargerThanTheTotalGetsAllOfThem) {
  EXPECT_TRUE(executor.run(ask_for_more_than_there_is()));
}

Task<std::vector<bool>> pass_the_guard_on() {
  AsyncMutex mutex;
  std::vector<bool> locked{mutex.locked()};
  auto guard = co_await mutex.lock();
  locked.push_back(mutex.locked());
  auto moved = std::move(guard);
  guard.unlock();  // holds nothing any more
  locked.push_back(mutex.locked());
  moved = AsyncMutex::Guard();
  locked.push_back(mutex.locked());
  co_return locked;
}

TEST_F(SyncTest, AGuardUnlocksOnceWhoeverHoldsIt) {
  EXPECT_EQ(executor.run(pass_the_guard_on()), (std::vector<bool>{false, true, true, false}));
}

Task<std::size_t> spawn_from_inside(TaskScope* scope) {
  struct Inner {
    static Task<void> run(TaskScope* s, int depth) {
      co_await sleep_for(milliseconds(1));
      if (depth > 0) s->spawn(run(s, depth - 1));
    }
  };
  scope->spawn(Inner::run(scope, 3));
  const std::size_t running = scope->running();
  co_await scope->join();
  co_await scope->join();  // nothing is left: returns at once
  co_return running;
}

TEST_F(SyncTest, AScopeWaitsAlsoForWhatItsTasksSpawn) {
  TaskScope scope;
  const MonotonicTime start = clock.now();
  EXPECT_EQ(executor.run(spawn_from_inside(&scope)), 1U);
  EXPECT_EQ(scope.running(), 0U);
  EXPECT_EQ(clock.now() - start, milliseconds(4));
}

TEST_F(SyncTest, WhenAllOfNothingIsNothing) {
  EXPECT_TRUE(executor.run(when_all(std::vector<Task<int>>())).empty());
}

Task<void> sleep_to(MonotonicTime when, std::vector<int>* order, int who) {
  co_await sleep_until(when);
  order->push_back(who);
}

TEST_F(SyncTest, SleepersWakeInTheOrderOfTheirTimes) {
  std::vector<int> order;
  const MonotonicTime start = clock.now();
  executor.post([&] {
    spawn(sleep_to(start + milliseconds(3), &order, 3));
    spawn(sleep_to(start + milliseconds(1), &order, 1));
    spawn(sleep_to(start, &order, 0));  // is there already
    spawn(sleep_to(start + milliseconds(2), &order, 2));
  });
  executor.run_until_idle();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3}));
}

}  // namespace
}  // namespace shoal
