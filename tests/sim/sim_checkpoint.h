// What metad needs beside its journal, in memory: a checkpoint store whose writes are atomic, and a
// pool that runs blocking work on the process's own executor after a random time. A process that
// dies before the work ran leaves the old checkpoint, after it the new one.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/io/blocking_pool.h"
#include "metad/checkpoint/checkpoint_store.h"
#include "tests/sim/simulator.h"

namespace shoal::sim {

struct CheckpointRecords {
  std::map<std::string, std::string, std::less<>> records;
  std::uint64_t position = 0;
};

class SimCheckpoint final : public metad::CheckpointStore {
 public:
  explicit SimCheckpoint(CheckpointRecords& durable) : durable_(durable) {}
  Result<std::uint64_t> load(const Visit& visit) override {
    for (const auto& [key, value] : durable_.records) RETURN_IF_ERROR(visit(key, value));
    return durable_.position;
  }
  Status write(const std::vector<Change>& changes, std::uint64_t applied_position) override {
    for (const auto& [key, value] : changes) {
      if (value) {
        durable_.records[key] = *value;
      } else {
        durable_.records.erase(key);
      }
    }
    durable_.position = applied_position;
    return OkStatus();
  }

 private:
  CheckpointRecords& durable_;
};

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
