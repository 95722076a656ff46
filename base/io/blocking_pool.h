// BlockingPool: where calls run that must not stall an event loop: opening, prewriting and renaming
// files, fsync of directories, RocksDB. The coroutine goes on on its own executor afterwards.
// ThreadPool is the real one; a simulation runs the work in its one thread at a time of its
// choosing.
#pragma once

#include <condition_variable>
#include <coroutine>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/async/executor.h"
#include "base/async/task.h"

namespace shoal {

class BlockingPool {
 public:
  virtual ~BlockingPool() = default;

  // Queues `work`; any thread. The queue is bounded by its users: each has a fixed number of
  // coroutines.
  virtual void submit(Callback work) = 0;
};

// From now on the calling thread gives way to those that serve: what it does may take long, but not
// their time.
void lower_thread_priority();

class ThreadPool final : public BlockingPool {
 public:
  enum class Priority { kNormal, kLow };
  ThreadPool(std::string name, int threads, Priority priority = Priority::kNormal);
  // Runs what is queued to its end, then joins.
  ~ThreadPool() override;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void submit(Callback work) override;

 private:
  void serve();

  const std::string name_;
  std::mutex mutex_;
  std::condition_variable work_changed_;
  std::deque<Callback> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

// Runs `fn` in the pool and resumes on the caller's executor with its result.
template <typename Fn>
auto run_blocking(BlockingPool& pool, Fn fn) -> Task<std::invoke_result_t<Fn&>> {
  using T = std::invoke_result_t<Fn&>;
  struct Awaiter {
    BlockingPool& pool;
    Fn& fn;
    std::optional<T> value;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> self) {
      Executor* const home = Executor::current();
      pool.submit([this, self, home] {
        value.emplace(fn());
        home->resume(self);
      });
    }
    T await_resume() { return std::move(*value); }
  };
  Awaiter awaiter{pool, fn, std::nullopt};
  co_return co_await awaiter;
}

}  // namespace shoal
