#include "storaged/call_gate.h"

#include <gtest/gtest.h>

#include "base/async/manual_executor.h"

namespace shoal::storaged {
namespace {

using std::chrono::seconds;

// Hangs until it is released.
Task<Status> hang(Signal* released, bool* ended) {
  co_await released->wait();
  *ended = true;
  co_return OkStatus();
}
Task<Result<int>> answer(int value) { co_return value; }

class CallGateTest : public testing::Test {
 protected:
  Status call_that_hangs(Duration patience) {
    return executor_.run(gate_.run(DriveId(3), hang(&released_, &ended_), executor_.now() + patience));
  }
  void TearDown() override {
    executor_.post([this] { released_.notify_all(); });
    executor_.run(gate_.join());
  }

  VirtualClock clock_;
  ManualExecutor executor_{clock_};
  Signal released_;
  bool ended_ = false;
  CallGate gate_{2};
};

TEST_F(CallGateTest, WhatEndsInTimeIsPassedOn) {
  EXPECT_EQ(executor_.run(gate_.run(DriveId(3), answer(7), executor_.now() + seconds(1))).value(), 7);
  EXPECT_EQ(executor_.run(gate_.run(DriveId(3), answer(8), MonotonicTime::max())).value(), 8);
  EXPECT_EQ(executor_.next_timer(), MonotonicTime::max());
}

TEST_F(CallGateTest, ACallThatHangsIsAnsweredAtItsDeadlineAndEndsByItself) {
  const MonotonicTime before = executor_.now();
  const Status status = call_that_hangs(seconds(3));
  EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_NE(status.message().find("drive 3"), std::string::npos);
  EXPECT_EQ(executor_.now() - before, seconds(3));
  EXPECT_FALSE(ended_);
  EXPECT_EQ(gate_.hung(), 1U);
  executor_.post([this] { released_.notify_all(); });
  executor_.run_ready();
  EXPECT_TRUE(ended_);
  EXPECT_EQ(gate_.hung(), 0U);
}

TEST_F(CallGateTest, WhenTooManyHangTheNextIsRefusedAtOnceUntilTheyEnd) {
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(call_that_hangs(seconds(1)).code(), StatusCode::kDeadlineExceeded);
  const MonotonicTime before = executor_.now();
  EXPECT_EQ(call_that_hangs(seconds(1)).code(), StatusCode::kUnavailable);
  EXPECT_EQ(executor_.now(), before);
  executor_.post([this] { released_.notify_all(); });
  executor_.run_ready();
  EXPECT_TRUE(executor_.run(gate_.run(DriveId(3), answer(1), executor_.now() + seconds(1))).ok());
}

}  // namespace
}  // namespace shoal::storaged
