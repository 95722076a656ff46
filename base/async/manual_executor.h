// ManualExecutor: an executor that the caller turns by hand, with a virtual clock. Several may
// share one VirtualClock: then a whole cluster runs in one thread, and the same posts run in the
// same order every time.
#pragma once

#include <deque>
#include <map>
#include <utility>
#include <variant>

#include "base/async/executor.h"
#include "base/async/sync.h"

namespace shoal {

class VirtualClock final : public Clock {
 public:
  MonotonicTime now() const override { return now_; }
  WallTimeNs wall_now_ns() const override { return kStartNs + now_.time_since_epoch().count(); }
  void advance_to(MonotonicTime when) { now_ = std::max(now_, when); }
  void advance(Duration duration) { now_ += duration; }

 private:
  static constexpr WallTimeNs kStartNs = 1'700'000'000'000'000'000;
  MonotonicTime now_{};
};

// Not thread-safe.
class ManualExecutor final : public Executor {
 public:
  explicit ManualExecutor(VirtualClock& clock) : clock_(clock) {}

  void post(Callback callback) override { queue_.emplace_back(std::move(callback)); }
  void resume(std::coroutine_handle<> handle) override { queue_.emplace_back(handle); }
  TimerId schedule_at(MonotonicTime when, Callback callback) override;
  void cancel(TimerId timer) override;
  const Clock& clock() const override { return clock_; }

  // Runs one queued item; false if there was none.
  bool run_one();
  // Runs until the queue is empty (timers that are not due stay).
  void run_ready();
  // Runs queue and timers, moving the clock from timer to timer, until nothing is left or `limit`
  // has come.
  void run_until_idle(MonotonicTime limit = MonotonicTime::max());
  // When the next timer is due; max() if none.
  MonotonicTime next_timer() const {
    return timers_.empty() ? MonotonicTime::max() : timers_.begin()->first.first;
  }
  bool idle() const { return queue_.empty(); }

  // Runs `task` to its end, turning the queue and the clock. CHECKs that it does end.
  template <typename T>
  T run(Task<T> task) {
    std::optional<std::conditional_t<std::is_void_v<T>, char, T>> value;
    struct Runner {
      static Task<void> run(Task<T> task, decltype(value)* out) {
        if constexpr (std::is_void_v<T>) {
          co_await std::move(task);
          out->emplace();
        } else {
          out->emplace(co_await std::move(task));
        }
      }
    };
    post([task = std::move(task), &value]() mutable {
      spawn(Runner::run(std::move(task), &value));
    });
    while (!value.has_value()) {
      run_ready();
      if (value.has_value()) break;
      CHECK(!timers_.empty());  // otherwise it waits for something that nobody will do
      fire_next_timer();
    }
    if constexpr (!std::is_void_v<T>) return std::move(*value);
  }

 private:
  void fire_next_timer();

  VirtualClock& clock_;
  std::deque<std::variant<Callback, std::coroutine_handle<>>> queue_;
  std::map<std::pair<MonotonicTime, std::uint64_t>, Callback> timers_;
  std::map<std::uint64_t, MonotonicTime> timer_times_;
  std::uint64_t next_timer_ = 1;
};

}  // namespace shoal
