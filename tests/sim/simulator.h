// Simulator: one thread, one virtual clock, many processes. Every process has a SimExecutor; the
// simulator picks at random, from its seed, whose next piece of work runs. Nothing in a run depends
// on anything but the seed, so the same seed gives the same trace.
//
// A process is killed by freezing its executor: what is queued there never runs, and what it owns
// is left as it is, as after kill -9. The memory is not given back: a run lives in a process of its
// own (tests/sim/main.cc), or is short.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/async/manual_executor.h"
#include "base/random.h"

namespace shoal::sim {

class Simulator;

class SimExecutor final : public Executor {
 public:
  void post(Callback callback) override;
  void resume(std::coroutine_handle<> handle) override;
  TimerId schedule_at(MonotonicTime when, Callback callback) override;
  void cancel(TimerId timer) override;
  const Clock& clock() const override;

  const std::string& name() const { return name_; }
  bool alive() const { return alive_; }
  // Nothing of it runs any more, for good. May be called by its own work, which then ends at its
  // next suspension.
  void kill();
  // Nothing of it runs until then, as after SIGSTOP.
  void pause_until(MonotonicTime when) { paused_until_ = when; }

 private:
  friend class Simulator;
  SimExecutor(Simulator& simulator, std::string name, std::uint64_t number)
      : simulator_(simulator), name_(std::move(name)), number_(number) {}
  void run_one();
  bool ready(MonotonicTime now) const { return alive_ && !queue_.empty() && now >= paused_until_; }

  Simulator& simulator_;
  const std::string name_;
  const std::uint64_t number_;
  bool alive_ = true;
  MonotonicTime paused_until_{};
  std::deque<std::variant<Callback, std::coroutine_handle<>>> queue_;
};

class Simulator {
 public:
  explicit Simulator(std::uint64_t seed) : random_(seed), world_(make_executor("world")) {}
  Simulator(const Simulator&) = delete;
  Simulator& operator=(const Simulator&) = delete;

  // Lives as long as the simulator.
  SimExecutor& make_executor(std::string name);
  // Where faults, messages under way and checks run. Never killed.
  SimExecutor& world() { return world_; }

  VirtualClock& clock() { return clock_; }
  MonotonicTime now() const { return clock_.now(); }
  Random& random() { return random_; }
  bool chance(std::uint64_t per_mille) { return random_.below(1000) < per_mille; }
  Duration between(Duration least, Duration most) {
    return least + Duration(static_cast<std::int64_t>(
                       random_.below(static_cast<std::uint64_t>((most - least).count()) + 1)));
  }

  // Runs one piece of work, moving the clock if nothing is ready. False when nothing is left.
  bool step();
  // Steps until `done` or until the clock has reached `limit`; returns done().
  bool run_until(const std::function<bool()>& done, MonotonicTime limit);
  // Runs `task` on `executor` to its end. CHECKs that it ends while there is work.
  template <typename T>
  T run(SimExecutor& executor, Task<T> task);

  // What happened, into the trace's hash; printed when print_trace is on.
  void trace(std::string_view what, std::uint64_t a = 0, std::uint64_t b = 0);
  std::uint64_t trace_hash() const { return trace_hash_; }
  std::uint64_t steps() const { return steps_; }
  void print_trace(bool on) { print_trace_ = on; }

 private:
  friend class SimExecutor;
  struct Timer {
    SimExecutor* executor;
    Callback callback;
  };
  void post_due_timers();

  VirtualClock clock_;
  SeededRandom random_;
  std::vector<std::unique_ptr<SimExecutor>> executors_;
  std::map<std::pair<MonotonicTime, std::uint64_t>, Timer> timers_;
  std::map<std::uint64_t, MonotonicTime> timer_times_;
  std::uint64_t next_timer_ = 1;
  std::uint64_t steps_ = 0;
  std::uint64_t trace_hash_ = 0xcbf29ce484222325;
  bool print_trace_ = false;
  std::vector<SimExecutor*> ready_;  // of the step under way
  SimExecutor& world_;
};

template <typename T>
T Simulator::run(SimExecutor& executor, Task<T> task) {
  auto value = std::make_shared<std::optional<std::conditional_t<std::is_void_v<T>, char, T>>>();
  struct Runner {
    static Task<void> run(Task<T> task, std::decay_t<decltype(value)> out) {
      if constexpr (std::is_void_v<T>) {
        co_await std::move(task);
        out->emplace();
      } else {
        out->emplace(co_await std::move(task));
      }
    }
  };
  executor.post(
      [task = std::move(task), value]() mutable { spawn(Runner::run(std::move(task), value)); });
  while (!value->has_value()) CHECK(step());
  if constexpr (!std::is_void_v<T>) return std::move(**value);
}

}  // namespace shoal::sim
