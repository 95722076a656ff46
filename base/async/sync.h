// What coroutines of one executor wait on: Completion, AsyncMutex, AsyncSemaphore, Signal,
// TaskScope, sleep_until, when_all. None is thread-safe: an object belongs to one executor, and a
// waiter is resumed through that executor's queue (never inline), so waking somebody cannot
// re-enter the waker. sync_wait is the bridge from an ordinary thread.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <coroutine>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/async/executor.h"
#include "base/async/task.h"
#include "base/check.h"

namespace shoal {

namespace async_internal {

inline void resume_later(std::coroutine_handle<> handle) {
  CHECK(Executor::current() != nullptr);
  Executor::current()->resume(handle);
}

// Coroutines that wait, in the order of their coming. A link lives in the frame of the one who
// waits, so waiting allocates nothing.
class WaitList {
 public:
  struct Link {
    WaitList& list;
    std::coroutine_handle<> handle;
    Link* next = nullptr;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> self) {
      handle = self;
      *(list.first_ == nullptr ? &list.first_ : &list.last_->next) = this;
      list.last_ = this;
    }
    void await_resume() const noexcept {}
  };
  Link wait() { return {*this, nullptr, nullptr}; }
  bool empty() const { return first_ == nullptr; }
  void resume_all() {
    for (const Link* link = std::exchange(first_, nullptr); link != nullptr; link = link->next)
      resume_later(link->handle);
  }

 private:
  Link* first_ = nullptr;
  Link* last_ = nullptr;  // if there is a first
};

}  // namespace async_internal

// A value that arrives once. Any number of coroutines may await it; each gets a copy (or, with
// take(), the value).
template <typename T>
class Completion {
 public:
  Completion() = default;
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;

  bool ready() const { return value_.has_value(); }
  // The first value wins; a later one is dropped (a hedged read's loser). Returns whether it was
  // the first.
  bool set(T value) {
    if (value_.has_value()) return false;
    value_.emplace(std::move(value));
    waiters_.resume_all();
    return true;
  }
  Task<const T*> wait() {
    while (!value_.has_value()) co_await waiters_.wait();
    co_return &*value_;
  }
  // For the only waiter.
  Task<T> take() {
    while (!value_.has_value()) co_await waiters_.wait();
    co_return std::move(*value_);
  }

 private:
  std::optional<T> value_;
  async_internal::WaitList waiters_;
};

// "Something changed, look again": wait in a loop around the condition.
class Signal {
 public:
  void notify_all() { waiters_.resume_all(); }
  auto wait() { return waiters_.wait(); }
  bool has_waiters() const { return !waiters_.empty(); }

 private:
  async_internal::WaitList waiters_;
};

// A count of permits, handed out in the order of asking.
class AsyncSemaphore {
 public:
  explicit AsyncSemaphore(std::uint64_t permits)
      : total_(permits), permits_(static_cast<std::int64_t>(permits)) {}

  // Waits until `count` permits are free and takes them. A request larger than the total waits for
  // all of them to be free, so it cannot starve; give back what was asked for.
  Task<void> acquire(std::uint64_t count = 1) {
    if (try_acquire(count)) co_return;
    Waiter waiter{count, nullptr, nullptr};
    struct Awaiter {
      AsyncSemaphore& semaphore;
      Waiter& waiter;
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> self) const {
        waiter.handle = self;
        Waiter** place = semaphore.first_ == nullptr ? &semaphore.first_ : &semaphore.last_->next;
        *place = semaphore.last_ = &waiter;
      }
      void await_resume() const noexcept {}
    };
    co_await Awaiter{*this, waiter};
  }
  bool try_acquire(std::uint64_t count = 1) {
    if (first_ != nullptr || !fits(count)) return false;
    permits_ -= static_cast<std::int64_t>(count);
    return true;
  }
  void release(std::uint64_t count = 1) {
    permits_ += static_cast<std::int64_t>(count);
    while (first_ != nullptr && fits(first_->count)) {
      const Waiter* served = first_;
      first_ = served->next;
      permits_ -= static_cast<std::int64_t>(served->count);
      async_internal::resume_later(served->handle);
    }
  }
  std::uint64_t available() const {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(permits_, 0));
  }

 private:
  bool fits(std::uint64_t count) const {
    return permits_ >= static_cast<std::int64_t>(std::min(count, total_));
  }

  struct Waiter {
    std::uint64_t count;
    std::coroutine_handle<> handle;
    Waiter* next;
  };
  const std::uint64_t total_;
  std::int64_t permits_;     // less than 0 while one that asked for more than the total has them
  Waiter* first_ = nullptr;  // a list of those who wait; each lives in its coroutine
  Waiter* last_ = nullptr;   // if there is a first
};

// Mutual exclusion across co_await, first come first served.
class AsyncMutex {
 public:
  class [[nodiscard]] Guard {
   public:
    Guard() = default;
    explicit Guard(AsyncMutex* mutex) : mutex_(mutex) {}
    Guard(Guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    Guard& operator=(Guard&& other) noexcept {
      if (this != &other) {
        unlock();
        mutex_ = std::exchange(other.mutex_, nullptr);
      }
      return *this;
    }
    ~Guard() { unlock(); }
    void unlock() {
      if (mutex_ != nullptr) std::exchange(mutex_, nullptr)->semaphore_.release();
    }

   private:
    AsyncMutex* mutex_ = nullptr;
  };

  Task<Guard> lock() {
    co_await semaphore_.acquire();
    co_return Guard(this);
  }
  bool locked() const { return semaphore_.available() == 0; }

 private:
  AsyncSemaphore semaphore_{1};
};

// Owns background coroutines of one executor; join() waits until all have ended. Destroying it
// earlier is a bug.
class TaskScope {
 public:
  ~TaskScope() { CHECK(running_ == 0); }
  void spawn(Task<void> task) {
    ++running_;
    shoal::spawn(run(std::move(task)));
  }
  Task<void> join() {
    while (running_ > 0) co_await drained_.wait();
  }
  std::size_t running() const { return running_; }

 private:
  Task<void> run(Task<void> task) {
    co_await std::move(task);
    if (--running_ == 0) drained_.notify_all();
  }
  std::size_t running_ = 0;
  Signal drained_;
};

// Resumes once the current executor's clock has reached `when`.
inline auto sleep_until(MonotonicTime when) {
  struct Awaiter {
    MonotonicTime when;
    bool await_ready() const { return Executor::current()->now() >= when; }
    void await_suspend(std::coroutine_handle<> self) const {
      Executor::current()->schedule_at(when, [self] { self.resume(); });
    }
    void await_resume() const noexcept {}
  };
  return Awaiter{when};
}
inline auto sleep_for(Duration duration) {
  return sleep_until(Executor::current()->now() + duration);
}

// Lets everything queued on this executor run first.
inline auto yield() {
  struct Awaiter {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> self) const { async_internal::resume_later(self); }
    void await_resume() const noexcept {}
  };
  return Awaiter{};
}

// Runs all tasks side by side on the current executor; the results come in the order of the tasks.
template <typename T>
Task<std::vector<T>> when_all(std::vector<Task<T>> tasks) {
  struct Shared {
    std::vector<std::optional<T>> results;
    TaskScope scope;
  };
  Shared shared;
  shared.results.resize(tasks.size());
  struct Runner {
    static Task<void> run(Task<T> task, std::optional<T>* slot) {
      slot->emplace(co_await std::move(task));
    }
  };
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    shared.scope.spawn(Runner::run(std::move(tasks[i]), &shared.results[i]));
  }
  co_await shared.scope.join();
  std::vector<T> results;
  results.reserve(tasks.size());
  for (auto& slot : shared.results) results.push_back(std::move(*slot));
  co_return results;
}

// From an ordinary thread (never from work of `executor`): runs `task` there and blocks until it
// has ended.
template <typename T>
T sync_wait(Executor& executor, Task<T> task) {
  CHECK(Executor::current() != &executor);
  struct State {
    std::mutex mutex;
    std::condition_variable done_changed;
    bool done = false;
    std::optional<std::conditional_t<std::is_void_v<T>, char, T>> value;
  };
  State state;
  struct Runner {
    static Task<void> run(Task<T> task, State* state) {
      if constexpr (std::is_void_v<T>) {
        co_await std::move(task);
      } else {
        state->value.emplace(co_await std::move(task));
      }
      const std::lock_guard lock(state->mutex);
      state->done = true;
      state->done_changed
          .notify_all();  // under the lock: the waiter frees `state` once it sees done
    }
  };
  executor.post(
      [task = std::move(task), &state]() mutable { spawn(Runner::run(std::move(task), &state)); });
  std::unique_lock lock(state.mutex);
  state.done_changed.wait(lock, [&] { return state.done; });
  if constexpr (!std::is_void_v<T>) return std::move(*state.value);
}

}  // namespace shoal
