#include "storaged/background_pace.h"

#include <gtest/gtest.h>

#include "base/async/manual_executor.h"
#include "storaged/limits.h"

namespace shoal::storaged {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class BackgroundPaceTest : public testing::Test {
 protected:
  Task<void> work_on(std::uint64_t bytes) {
    while (!ended_) {
      const Status admitted = co_await pace_.admit(bytes, MonotonicTime::max());
      EXPECT_TRUE(admitted.ok());
      ++done_;
      if (done_ % 100 == 0) co_await sleep_for(milliseconds(1));  // else time would stand still
    }
  }
  // Background calls, several at once, beside so many foreground calls a second. Returns how many
  // ran within ten seconds.
  std::uint64_t run(std::uint64_t bytes, int foreground_per_second) {
    executor_.run(beside(bytes, foreground_per_second));
    return done_;
  }
  Task<void> beside(std::uint64_t bytes, int foreground_per_second) {
    TaskScope work;
    if (foreground_per_second > 0) pace_.note_foreground(1);
    for (int i = 0; i < 8; ++i) work.spawn(work_on(bytes));
    for (int i = 0; i < 10 * foreground_per_second; ++i) {
      co_await sleep_for(Duration(seconds(1)) / foreground_per_second);
      pace_.note_foreground(4096);
    }
    if (foreground_per_second == 0) co_await sleep_for(seconds(10));
    ended_ = true;
    co_await work.join();
  }

  VirtualClock clock_;
  ManualExecutor executor_{clock_};
  BackgroundPace pace_{executor_};
  std::uint64_t done_ = 0;
  bool ended_ = false;
};

TEST_F(BackgroundPaceTest, AloneItIsNotHeldBack) { EXPECT_GT(run(1 << 20, 0), 100'000U); }

TEST_F(BackgroundPaceTest, BesideOthersItGetsItsShareAndALittleInAnyCase) {
  const double wanted = 10 * (kBackgroundUnitsPerSecond + 4000 * kBackgroundShare);
  EXPECT_NEAR(static_cast<double>(run(4096, 4000)), wanted, wanted / 20);
}

TEST_F(BackgroundPaceTest, LargeCallsCountByTheirBytes) {
  const double wanted = 10 * (kBackgroundUnitsPerSecond + 100 * kBackgroundShare) / 16;
  EXPECT_NEAR(static_cast<double>(run(1 << 20, 100)), wanted, wanted / 20);
}

Task<void> close_beside(BackgroundPace* pace, int* admitted) {
  TaskScope waiting;
  pace->note_foreground(1);
  for (int i = 0; i < 10'000; ++i) {
    waiting.spawn([](BackgroundPace* the_pace, int* count) -> Task<void> {
      const Status ready = co_await the_pace->admit(1 << 20, MonotonicTime::max());
      if (ready.ok()) ++*count;
    }(pace, admitted));
  }
  EXPECT_LT(*admitted, 100);
  co_await pace->close();
  EXPECT_EQ(*admitted, 10'000);
  pace->note_foreground(1);
  const Status last = co_await pace->admit(1 << 20, MonotonicTime::max());
  EXPECT_TRUE(last.ok());
  co_await waiting.join();
}

struct Counts {
  int admitted = 0;
  int late = 0;
};

Task<void> admit_one(BackgroundPace* pace, Duration patience, Counts* counts) {
  const Status admitted = co_await pace->admit(1 << 20, Executor::current()->now() + patience);
  if (admitted.ok()) ++counts->admitted;
  if (admitted.code() == StatusCode::kDeadlineExceeded) ++counts->late;
}

// A crowd that nobody waits for any more, and one behind it.
Task<void> crowd(BackgroundPace* pace, Counts* impatient, Counts* patient) {
  TaskScope calls;
  pace->note_foreground(1);
  for (int i = 0; i < 1000; ++i) calls.spawn(admit_one(pace, milliseconds(200), impatient));
  calls.spawn(admit_one(pace, seconds(30), patient));
  for (int i = 0; i < 300; ++i) {
    co_await sleep_for(milliseconds(1));
    pace->note_foreground(1);
  }
  EXPECT_EQ(patient->admitted, 1);
  co_await calls.join();
}

TEST_F(BackgroundPaceTest, WhatIsLateCountsNothing) {
  Counts impatient;
  Counts patient;
  executor_.run(crowd(&pace_, &impatient, &patient));
  EXPECT_GT(impatient.admitted, 0);
  EXPECT_LT(impatient.admitted, 30);
  EXPECT_EQ(impatient.admitted + impatient.late, 1000);
}

TEST_F(BackgroundPaceTest, CloseLetsAllGo) {
  int admitted = 0;
  const MonotonicTime begin = executor_.now();
  executor_.run(close_beside(&pace_, &admitted));
  EXPECT_LT(executor_.now() - begin, seconds(1));
}

}  // namespace
}  // namespace shoal::storaged
