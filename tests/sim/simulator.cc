#include "tests/sim/simulator.h"

#include <cstdio>

namespace shoal::sim {
namespace {

// What a piece of work costs: time moves while a process is busy, so one that turns in place cannot
// stop the clock.
constexpr Duration kStepCost = std::chrono::microseconds(1);

}  // namespace

void SimExecutor::post(Callback callback) {
  if (alive_) {
    queue_.emplace_back(std::move(callback));
  } else {
    new Callback(std::move(callback));  // nothing of a dead process is run, nor torn down
  }
}

void SimExecutor::resume(std::coroutine_handle<> handle) {
  if (alive_) queue_.emplace_back(handle);
}

TimerId SimExecutor::schedule_at(MonotonicTime when, Callback callback) {
  if (!alive_) {
    new Callback(std::move(callback));
    return {};
  }
  const std::uint64_t id = simulator_.next_timer_++;
  simulator_.timers_.emplace(std::pair(when, id), Simulator::Timer{this, std::move(callback)});
  simulator_.timer_times_.emplace(id, when);
  return TimerId{id};
}

void SimExecutor::cancel(TimerId timer) {
  const auto found = simulator_.timer_times_.find(timer.value);
  if (found == simulator_.timer_times_.end()) return;
  simulator_.timers_.erase({found->second, timer.value});
  simulator_.timer_times_.erase(found);
}

const Clock& SimExecutor::clock() const { return simulator_.clock_; }

void SimExecutor::kill() {
  if (!std::exchange(alive_, false)) return;
  // Kept for good: destroying a callback would tear down what a killed process leaves standing.
  new std::deque<std::variant<Callback, std::coroutine_handle<>>>(std::exchange(queue_, {}));
}

void SimExecutor::run_one() {
  auto item = std::move(queue_.front());
  queue_.pop_front();
  Executor* const outer = std::exchange(current_, this);
  if (auto* callback = std::get_if<Callback>(&item)) {
    auto* const kept = new Callback(std::move(*callback));
    (*kept)();
    if (alive_) delete kept;
  } else {
    std::get<std::coroutine_handle<>>(item).resume();
  }
  current_ = outer;
}

SimExecutor& Simulator::make_executor(std::string name) {
  executors_.push_back(
      std::unique_ptr<SimExecutor>(new SimExecutor(*this, std::move(name), executors_.size())));
  return *executors_.back();
}

void Simulator::post_due_timers() {
  while (!timers_.empty() && timers_.begin()->first.first <= clock_.now()) {
    auto first = timers_.extract(timers_.begin());
    timer_times_.erase(first.key().second);
    first.mapped().executor->post(std::move(first.mapped().callback));
  }
}

bool Simulator::step() {
  while (true) {
    post_due_timers();
    ready_.clear();
    MonotonicTime next = timers_.empty() ? MonotonicTime::max() : timers_.begin()->first.first;
    for (const auto& executor : executors_) {
      if (executor->ready(clock_.now())) ready_.push_back(executor.get());
      if (executor->alive_ && !executor->queue_.empty())
        next = std::min(next, std::max(executor->paused_until_, clock_.now()));
    }
    if (!ready_.empty()) break;
    if (next == MonotonicTime::max()) return false;
    clock_.advance_to(next);
  }
  SimExecutor& picked = *ready_[ready_.size() == 1 ? 0 : random_.below(ready_.size())];
  ++steps_;
  trace_hash_ = (trace_hash_ ^ (picked.number_ + 1)) * 0x100000001b3;
  trace_hash_ ^= static_cast<std::uint64_t>(clock_.now().time_since_epoch().count());
  clock_.advance(kStepCost);
  picked.run_one();
  return true;
}

bool Simulator::run_until(const std::function<bool()>& done, MonotonicTime limit) {
  while (!done()) {
    if (clock_.now() >= limit || !step()) return done();
  }
  return true;
}

void Simulator::trace(std::string_view what, std::uint64_t a, std::uint64_t b) {
  for (const char c : what) {
    trace_hash_ = (trace_hash_ ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  trace_hash_ = (trace_hash_ ^ a) * 0x100000001b3;
  trace_hash_ = (trace_hash_ ^ b) * 0x100000001b3;
  if (!print_trace_) return;
  std::fprintf(stderr, "%13.6f %.*s %llu %llu\n",
               static_cast<double>(clock_.now().time_since_epoch().count()) / 1e9,
               static_cast<int>(what.size()), what.data(), static_cast<unsigned long long>(a),
               static_cast<unsigned long long>(b));
}

}  // namespace shoal::sim
