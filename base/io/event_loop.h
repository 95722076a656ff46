// EventLoop: the executor of the real program. One thread turns it; every iteration runs what was
// posted, due timers and the pollers (an io_uring's completion queue), then sleeps in epoll_wait. A
// post from another thread costs a system call only when the loop sleeps.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/async/executor.h"
#include "base/result.h"

namespace shoal {

class EventLoop final : public Executor {
 public:
  // `name` is the thread's name (15 bytes at most are shown). Errors: kIoError when epoll or
  // eventfd cannot be made.
  static Result<std::unique_ptr<EventLoop>> create(std::string name);
  // stop() must have been called and the thread joined, or the loop never started.
  ~EventLoop() override;

  // Starts the loop's own thread; or run() turns it on the calling thread until stop().
  void start();
  void run();
  // Asks the loop to end after what is queued; any thread. join() waits for the thread of start().
  void stop();
  void join();

  void post(Callback callback) override;
  void resume(std::coroutine_handle<> handle) override;
  TimerId schedule_at(MonotonicTime when, Callback callback) override;
  void cancel(TimerId timer) override;
  const Clock& clock() const override { return system_clock(); }

  // Level-triggered readiness: `callback(events)` runs on the loop while `events` (EPOLLIN,
  // EPOLLOUT, ...) are ready. On the loop's thread only. unwatch() may be called from inside the
  // callback.
  using ReadyCallback = absl::AnyInvocable<void(std::uint32_t events)>;
  Status watch(int fd, std::uint32_t events, ReadyCallback callback);
  Status rearm(int fd, std::uint32_t events);
  void unwatch(int fd);

  // A poller runs once in each iteration, before the loop sleeps, and returns whether it did
  // anything: the loop does not sleep after an iteration in which one did. Whatever wakes it must
  // be an fd that is watched.
  using Poller = absl::AnyInvocable<bool()>;
  void add_poller(const void* owner, Poller poller);
  void remove_poller(const void* owner);

  // How often the loop slept and was woken by a post: hand-overs, for the benchmark.
  std::uint64_t wakeups() const { return wakeups_.load(std::memory_order_relaxed); }

 private:
  using Item = std::variant<Callback, std::coroutine_handle<>>;
  struct Watch {
    ReadyCallback callback;
    std::uint64_t generation;
  };

  EventLoop(std::string name, int epoll_fd, int wake_fd);
  void enqueue(Item item);
  bool run_posted();
  bool run_timers();
  bool run_pollers();
  void wait(int timeout_ms);
  int sleep_timeout_ms() const;
  void watch_quiet();

  const std::string name_;
  const int epoll_fd_;
  const int wake_fd_;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> sleeping_{false};
  std::atomic<int> wakers_{0};  // threads between posting an item and waking the loop for it
  std::atomic<std::uint64_t> wakeups_{0};
  std::uint64_t turns_ = 0;
  std::uint64_t watched_turns_ = 0;

  std::mutex mutex_;
  std::vector<Item> posted_;   // guarded by mutex_
  std::vector<Item> running_;  // the batch under way; the rest is the loop's own
  std::vector<Item> local_;    // posted from the loop's own thread: no lock
  std::map<std::pair<MonotonicTime, std::uint64_t>, Callback> timers_;
  std::unordered_map<std::uint64_t, MonotonicTime> timer_times_;
  std::uint64_t next_timer_ = 1;
  std::unordered_map<int, std::shared_ptr<Watch>> watches_;
  std::uint64_t next_generation_ = 1;
  std::vector<std::pair<const void*, Poller>> pollers_;
};

}  // namespace shoal
