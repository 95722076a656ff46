#include "base/async/task.h"

#include <gtest/gtest.h>

#include <memory>

#include "base/async/manual_executor.h"
#include "base/result.h"

namespace shoal {
namespace {

struct TaskTest : testing::Test {
  VirtualClock clock;
  ManualExecutor executor{clock};
};

Task<int> count_up(int* started) {
  ++*started;
  co_return *started;
}

TEST_F(TaskTest, StartsWhenItIsAwaitedAndNotBefore) {
  int started = 0;
  Task<int> task = count_up(&started);
  EXPECT_EQ(started, 0);
  EXPECT_EQ(executor.run(std::move(task)), 1);
}

Task<void> hold(std::shared_ptr<int> held) {
  co_await yield();
  ++*held;
}

TEST_F(TaskTest, OneThatIsNeverAwaitedFreesItsParameters) {
  auto held = std::make_shared<int>(0);
  {
    const Task<void> dropped = hold(held);
    EXPECT_EQ(held.use_count(), 2);
  }
  EXPECT_EQ(held.use_count(), 1);
  Task<void> replaced = hold(held);
  replaced = hold(held);
  EXPECT_EQ(held.use_count(), 2);
  executor.run(std::move(replaced));
  EXPECT_EQ(*held, 1);
  EXPECT_EQ(held.use_count(), 1);
}

Task<std::unique_ptr<int>> make_number(int value) {
  co_await yield();
  co_return std::make_unique<int>(value);
}

TEST_F(TaskTest, ResultsMayBeMoveOnly) { EXPECT_EQ(*executor.run(make_number(5)), 5); }

Task<int> sum_to(int n) {
  if (n == 0) co_return 0;
  const int rest = co_await sum_to(n - 1);
  co_return rest + n;
}

TEST_F(TaskTest, AChainOfAwaitsComesBackInOrder) { EXPECT_EQ(executor.run(sum_to(1000)), 500'500); }

Task<Status> refuse() { co_return InvalidArgumentError("no"); }
Task<Result<int>> number_or(Status status) {
  CO_RETURN_IF_ERROR(status);
  co_return 7;
}
Task<Status> pass_on(Status first, int* reached) {
  CO_ASSIGN_OR_RETURN(const int number, co_await number_or(std::move(first)));
  *reached = number;
  CO_RETURN_IF_ERROR(co_await refuse());
  *reached = -1;
  co_return OkStatus();
}

TEST_F(TaskTest, TheMacrosReturnTheFirstError) {
  int reached = 0;
  EXPECT_EQ(executor.run(pass_on(NotFoundError("gone"), &reached)), NotFoundError("gone"));
  EXPECT_EQ(reached, 0);
  EXPECT_EQ(executor.run(pass_on(OkStatus(), &reached)), InvalidArgumentError("no"));
  EXPECT_EQ(reached, 7);
}

Task<void> run_there(Executor* other, std::vector<Executor*>* places) {
  places->push_back(Executor::current());
  co_await hop_to(*other);
  places->push_back(Executor::current());
  co_await hop_to(*other);  // is there already: goes on at once
  places->push_back(Executor::current());
}

TEST_F(TaskTest, HoppingChangesTheExecutor) {
  ManualExecutor other(clock);
  std::vector<Executor*> places;
  executor.post([&] { spawn(run_there(&other, &places)); });
  executor.run_ready();
  EXPECT_EQ(places, (std::vector<Executor*>{&executor}));
  other.run_ready();
  EXPECT_EQ(places, (std::vector<Executor*>{&executor, &other, &other}));
}

Task<void> throw_up() {
  co_await yield();
  throw 1;
}

TEST(TaskDeathTest, NoExceptionLeavesACoroutine) {
  VirtualClock clock;
  ManualExecutor executor(clock);
  EXPECT_DEATH(executor.run(throw_up()), "no exception leaves a coroutine");
}

Task<void> wait_for_ever(Signal* signal) { co_await signal->wait(); }

TEST(TaskDeathTest, WaitingForWhatNobodyWillDoIsABug) {
  VirtualClock clock;
  ManualExecutor executor(clock);
  Signal signal;
  EXPECT_DEATH(executor.run(wait_for_ever(&signal)), "CHECK failed");
}

}  // namespace
}  // namespace shoal
