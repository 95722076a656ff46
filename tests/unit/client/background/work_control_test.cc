#include "client/background/work_control.h"

#include <gtest/gtest.h>

#include "base/async/manual_executor.h"

namespace shoal::client {
namespace {

using std::chrono::seconds;

struct WorkControlTest : testing::Test {
  VirtualClock clock;
  ManualExecutor executor{clock};
  WorkControl control{executor};
};

TEST_F(WorkControlTest, WhatIsTakenIsPaidForByTime) {
  control.set_rate(1000);
  const MonotonicTime begin = clock.now();
  EXPECT_TRUE(executor.run(control.take(5000)));
  EXPECT_EQ(clock.now(), begin);  // the first one at once
  EXPECT_TRUE(executor.run(control.take(1000)));
  EXPECT_EQ(clock.now(), begin + seconds(5));
  EXPECT_TRUE(executor.run(control.take(1)));
  EXPECT_EQ(clock.now(), begin + seconds(6));
}

TEST_F(WorkControlTest, OfIdleTimeOnlyALittleIsMadeUpFor) {
  control.set_rate(1000);
  clock.advance(seconds(100));
  const MonotonicTime begin = clock.now();
  EXPECT_TRUE(executor.run(control.take(3000)));
  EXPECT_TRUE(executor.run(control.take(3000)));
  EXPECT_EQ(clock.now(), begin + seconds(3) - std::chrono::milliseconds(20));
}

TEST_F(WorkControlTest, StopEndsWaiting) {
  const MonotonicTime begin = clock.now();
  executor.schedule_at(begin + seconds(1), [this] { control.stop(); });
  EXPECT_FALSE(executor.run(control.pause(std::chrono::hours(1))));
  EXPECT_EQ(clock.now(), begin + seconds(1));
  EXPECT_FALSE(executor.run(control.take(1)));
}

TEST_F(WorkControlTest, HurryEndsOneRestAndNothingElse) {
  const MonotonicTime begin = clock.now();
  executor.schedule_at(begin + seconds(1), [this] { control.hurry(); });
  EXPECT_TRUE(executor.run(control.rest(seconds(100))));
  EXPECT_EQ(clock.now(), begin + seconds(1));
  control.hurry();  // while nobody rests: for the next one
  EXPECT_TRUE(executor.run(control.pause(seconds(5))));
  EXPECT_EQ(clock.now(), begin + seconds(6));
  EXPECT_TRUE(executor.run(control.rest(seconds(100))));
  EXPECT_EQ(clock.now(), begin + seconds(6));
  EXPECT_TRUE(executor.run(control.rest(seconds(100))));
  EXPECT_EQ(clock.now(), begin + seconds(106));
}

}  // namespace
}  // namespace shoal::client
