// Task<T>: a lazy coroutine. It starts when awaited, runs on the executor of whoever awaits it, and
// is destroyed with the Task object. Nothing in Shoal throws through a coroutine: an exception that
// reaches the edge aborts.
//
// Rules that keep coroutines safe here (GCC 12 included):
//  - parameters by value (or pointers to things that outlive the task); never a reference to a
//  temporary;
//  - no capturing lambda that is itself a coroutine: its captures die with the lambda. Pass them as
//  parameters;
//  - build an aggregate argument in a named local first, then `co_await f(std::move(local))`;
//  - no co_await inside ?:, inside && or ||, inside an initialiser list, or in the condition of an
//  if or a loop: GCC 12
//    drops the rest of a loop whose body is `if (!co_await f()) break;`. Name the result, then test
//    it.
#pragma once

#include <coroutine>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/async/executor.h"
#include "base/check.h"

namespace shoal {

template <typename T>
class Task;

namespace async_internal {

struct FinalAwaiter {
  bool await_ready() const noexcept { return false; }
  template <typename Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) const noexcept {
    return self.promise().continuation ? self.promise().continuation : std::noop_coroutine();
  }
  void await_resume() const noexcept {}
};

struct PromiseBase {
  std::coroutine_handle<> continuation;
  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  [[noreturn]] void unhandled_exception() const {
    check_failed(__FILE__, __LINE__, "no exception leaves a coroutine");
  }
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T take() {
    CHECK(value.has_value());
    return std::move(*value);
  }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() const {}
  void take() const {}
};

}  // namespace async_internal

template <typename T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = async_internal::Promise<T>;
  using value_type = T;

  Task() = default;
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Task() { destroy(); }

  auto operator co_await() && noexcept {
    struct Awaiter {
      std::coroutine_handle<promise_type> handle;
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) const noexcept {
        handle.promise().continuation = caller;
        return handle;
      }
      T await_resume() const { return handle.promise().take(); }
    };
    return Awaiter{handle_};
  }

 private:
  void destroy() {
    if (handle_) std::exchange(handle_, nullptr).destroy();
  }
  std::coroutine_handle<promise_type> handle_;
};

namespace async_internal {

template <typename T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

// A coroutine that owns itself and frees itself at its end.
struct Detached {
  struct promise_type {
    Detached get_return_object() const { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const {}
    [[noreturn]] void unhandled_exception() const {
      check_failed(__FILE__, __LINE__, "no exception leaves a coroutine");
    }
  };
};

inline Detached run_detached(Task<void> task) { co_await std::move(task); }

}  // namespace async_internal

// Starts `task` now, on the calling thread, and lets it run to its end by itself. Its owner must
// outlive it: prefer TaskScope (base/async/sync.h), which can wait for it.
inline void spawn(Task<void> task) { async_internal::run_detached(std::move(task)); }

// `co_await hop_to(e)`: the coroutine goes on as work of `e`, from whatever thread it was on.
inline auto hop_to(Executor& target) {
  struct Awaiter {
    Executor& target;
    bool await_ready() const noexcept { return Executor::current() == &target; }
    void await_suspend(std::coroutine_handle<> self) const { target.resume(self); }
    void await_resume() const noexcept {}
  };
  return Awaiter{target};
}

// Runs the coroutine function `fn` on `target` and comes back to the caller's executor with its
// result. The seam between two cores in one process: one queue entry each way, and a wake-up only
// when the other side sleeps. `fn` may capture: it is kept alive in this frame until it has ended.
template <typename Fn>
auto run_on(Executor& target, Fn fn) -> std::invoke_result_t<Fn&> {
  using T = typename std::invoke_result_t<Fn&>::value_type;
  Executor* const home = Executor::current();
  co_await hop_to(target);
  if constexpr (std::is_void_v<T>) {
    co_await fn();
    if (home != nullptr) co_await hop_to(*home);
  } else {
    T result = co_await fn();
    if (home != nullptr) co_await hop_to(*home);
    co_return result;
  }
}

}  // namespace shoal
