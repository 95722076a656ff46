#include "base/io/blocking_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/async/sync.h"
#include "base/io/event_loop.h"

namespace shoal {
namespace {

Task<bool> run_elsewhere(BlockingPool* pool) {
  Executor* const home = Executor::current();
  const std::thread::id here = std::this_thread::get_id();
  const std::thread::id there =
      co_await run_blocking(*pool, [] { return std::this_thread::get_id(); });
  EXPECT_EQ(Executor::current(), home);
  EXPECT_EQ(std::this_thread::get_id(), here);
  co_return there != here;
}

TEST(BlockingPool, WorkRunsElsewhereAndComesBackHome) {
  ThreadPool pool("test", 2);
  auto loop = std::move(EventLoop::create("test")).value();
  loop->start();
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(sync_wait(*loop, run_elsewhere(&pool)));
  loop->stop();
  loop->join();
}

TEST(BlockingPool, WhatIsQueuedRunsBeforeTheEnd) {
  std::atomic<int> ran = 0;
  {
    ThreadPool pool("test", 1);
    for (int i = 0; i < 1000; ++i) pool.submit([&] { ++ran; });
  }
  EXPECT_EQ(ran, 1000);
}

}  // namespace
}  // namespace shoal
