// What metad needs beside its journal, in memory: a checkpoint store whose writes are atomic, and a
// pool that runs blocking work on the process's own executor after a random time. A process that
// dies before the work ran leaves the old checkpoint, after it the new one.
#pragma once

#include <functional>
#include <utility>

#include "base/io/blocking_pool.h"
#include "tests/sim/simulator.h"
#include "tests/support/memory_checkpoint.h"

namespace shoal::sim {

using CheckpointRecords = test::CheckpointDisk;
using SimCheckpoint = test::MemoryCheckpoint;

class SimPool final : public BlockingPool {
 public:
  // `at_moment` is called before and after each piece of work: a crash may come there.
  SimPool(Simulator& simulator, SimExecutor& executor, std::function<void()> at_moment = nullptr)
      : simulator_(simulator), executor_(executor), at_moment_(std::move(at_moment)) {}
  void submit(Callback work) override {
    const Duration wait =
        simulator_.between(std::chrono::microseconds(50), std::chrono::milliseconds(20));
    executor_.schedule_at(executor_.now() + wait, [this, work = std::move(work)]() mutable {
      if (at_moment_) at_moment_();
      if (!executor_.alive()) {
        new Callback(std::move(work));
        return;
      }
      work();
      if (at_moment_) at_moment_();
    });
  }

 private:
  Simulator& simulator_;
  SimExecutor& executor_;
  const std::function<void()> at_moment_;
};

}  // namespace shoal::sim
