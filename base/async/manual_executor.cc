#include "base/async/manual_executor.h"

namespace shoal {

TimerId ManualExecutor::schedule_at(MonotonicTime when, Callback callback) {
  const std::uint64_t id = next_timer_++;
  timers_.emplace(std::pair(when, id), std::move(callback));
  timer_times_.emplace(id, when);
  return TimerId{id};
}

void ManualExecutor::cancel(TimerId timer) {
  const auto found = timer_times_.find(timer.value);
  if (found == timer_times_.end()) return;
  timers_.erase({found->second, timer.value});
  timer_times_.erase(found);
}

bool ManualExecutor::run_one() {
  if (queue_.empty()) return false;
  auto item = std::move(queue_.front());
  queue_.pop_front();
  Executor* const outer = std::exchange(current_, this);
  if (auto* callback = std::get_if<Callback>(&item)) {
    (*callback)();
  } else {
    std::get<std::coroutine_handle<>>(item).resume();
  }
  current_ = outer;
  return true;
}

void ManualExecutor::run_ready() {
  while (run_one()) {
  }
}

void ManualExecutor::fire_next_timer() {
  auto first = timers_.begin();
  clock_.advance_to(first->first.first);
  timer_times_.erase(first->first.second);
  post(std::move(first->second));
  timers_.erase(first);
}

void ManualExecutor::run_until_idle(MonotonicTime limit) {
  run_ready();
  while (!timers_.empty() && next_timer() <= limit) {
    fire_next_timer();
    run_ready();
  }
}

}  // namespace shoal
