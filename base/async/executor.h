// Executor: where coroutines and callbacks run. One executor is one logical thread: what it runs
// never overlaps, so an object that lives on one executor needs no lock. EventLoop (base/io) is the
// real one; tests and the simulator use ManualExecutor, which runs everything in one thread from a
// virtual clock.
#pragma once

#include <absl/functional/any_invocable.h>

#include <coroutine>
#include <cstdint>

#include "base/clock.h"

namespace shoal {

using Callback = absl::AnyInvocable<void()>;

struct TimerId {
  std::uint64_t value = 0;  // 0 is "no timer"
};

class Executor {
 public:
  virtual ~Executor() = default;

  // Runs later on this executor, in the order of posting. Any thread. Never runs inside post().
  virtual void post(Callback callback) = 0;
  // post() for a suspended coroutine, without an allocation.
  virtual void resume(std::coroutine_handle<> handle) = 0;

  // Runs `callback` once `when` has come. On this executor only.
  virtual TimerId schedule_at(MonotonicTime when, Callback callback) = 0;
  // Forgets a timer; a timer that already ran, or TimerId{}, is ignored. On this executor only.
  virtual void cancel(TimerId timer) = 0;

  virtual const Clock& clock() const = 0;
  MonotonicTime now() const { return clock().now(); }

  // The executor whose work this thread is running, or null.
  static Executor* current() { return current_; }

 protected:
  // For implementations: set around each piece of work.
  static inline thread_local Executor* current_ = nullptr;
};

}  // namespace shoal
