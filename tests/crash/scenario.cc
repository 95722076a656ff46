#include "tests/crash/scenario.h"

namespace shoal::crash {
namespace {

using sim::PowerLoss;

constexpr Duration kPatience = std::chrono::hours(2);  // of virtual time
constexpr std::uint64_t kMaxSteps = 300'000;           // some thousands are usual
constexpr int kKinds = 5;                              // the power losses, and a kill alone
constexpr std::uint64_t kNever = ~std::uint64_t{0};

std::string name_of(int kind) {
  switch (kind) {
    case 0: return "power lost, all kept";
    case 1: return "power lost, all lost";
    case 2: return "power lost, pages at random";
    case 3: return "power lost, pages torn";
    default: return "killed";
  }
}

Task<void> open_and_work(Scenario* scenario, std::shared_ptr<bool> done) {
  const Status opened = co_await scenario->open();
  if (opened.ok()) {
    co_await scenario->work();
  } else {
    scenario->fail("opening: " + opened.to_string());
  }
  *done = true;
}

Task<void> come_up(Scenario* scenario, std::shared_ptr<bool> done) {
  const Status opened = co_await scenario->open();
  if (!opened.ok()) {
    scenario->fail("opening after the crash: " + opened.to_string());
  } else {
    co_await scenario->check();
    if (scenario->failure.empty()) co_await scenario->work();
    if (scenario->failure.empty()) co_await scenario->check();
    co_await scenario->close();
  }
  *done = true;
}

// Runs `step` in a process of its own until it ends or the disk has reached `crash_at`. Returns
// whether it ended.
bool run_process(Scenario& scenario, Task<void> (*step)(Scenario*, std::shared_ptr<bool>),
                 std::uint64_t crash_at) {
  scenario.executor = &scenario.simulator.make_executor("process");
  bool crashed = false;
  scenario.disk.at_moment = [&](std::uint64_t moment) {
    if (moment != crash_at) return;
    crashed = true;
    scenario.executor->kill();
  };
  const auto done = std::make_shared<bool>(false);
  scenario.executor->post([&scenario, step, done] { spawn(step(&scenario, done)); });
  const MonotonicTime limit = scenario.simulator.now() + kPatience;
  const std::uint64_t last_step = scenario.simulator.steps() + kMaxSteps;
  const bool ended = scenario.simulator.run_until(
      [&] { return *done || crashed || scenario.simulator.steps() > last_step; }, limit);
  if (!ended || scenario.simulator.steps() > last_step) scenario.fail("it does not end");
  scenario.disk.at_moment = nullptr;
  return ended && !crashed;
}

void crash(Scenario& scenario, int kind) {
  scenario.executor->kill();
  scenario.abandon();
  if (kind < 4) {
    scenario.disk.lose_power(sim::kPowerLosses[kind]);
  } else {
    scenario.disk.process_died();
  }
}

// Returns the moment that was reached.
std::uint64_t run_once(Scenario& scenario, std::uint64_t crash_at, int kind) {
  (void)run_process(scenario, open_and_work, crash_at);
  const std::uint64_t reached = scenario.disk.moments();
  if (!scenario.failure.empty()) return reached;
  crash(scenario, kind);
  // Half of the time it crashes again while it comes up, or soon after.
  if (scenario.simulator.random().below(2) == 0) {
    const std::uint64_t again = scenario.disk.moments() + 1 + scenario.simulator.random().below(12);
    (void)run_process(scenario, come_up, again);
    if (!scenario.failure.empty()) return reached;
    // Another kind than the first: what a kill left in a cache may be lost with the power now.
    crash(scenario, static_cast<int>(scenario.simulator.random().below(kKinds)));
  }
  (void)run_process(scenario, come_up, kNever);
  if (!scenario.failure.empty()) return reached;
  // What was written after the crash is there after a stop, too.
  scenario.abandon();
  scenario.executor->kill();
  (void)run_process(scenario, come_up, kNever);
  scenario.abandon();
  return reached;
}

}  // namespace

CrashPointReport try_every_crash_point(const MakeScenario& make, std::uint64_t seed,
                                       std::uint64_t stride) {
  CrashPointReport report;
  const auto attempt = [&](std::uint64_t crash_at, int kind) {
    const std::unique_ptr<Scenario> scenario = make(seed);
    const std::uint64_t reached = run_once(*scenario, crash_at, kind);
    ++report.runs;
    if (!scenario->failure.empty()) {
      report.failure = "seed " + std::to_string(seed) + ", crash at moment " +
                       std::to_string(crash_at == kNever ? 0 : crash_at) + ", kind " +
                       std::to_string(kind) + " (" + name_of(kind) + "): " + scenario->failure;
    }
    return reached;
  };
  report.moments = attempt(kNever, 1);
  for (std::uint64_t moment = 1; moment <= report.moments && report.failure.empty(); ++moment) {
    for (int kind = 0; kind < kKinds && report.failure.empty(); ++kind) {
      if ((moment + static_cast<std::uint64_t>(kind)) % stride == 0) (void)attempt(moment, kind);
    }
  }
  return report;
}

std::string try_crash_point(const MakeScenario& make, std::uint64_t seed, std::uint64_t moment,
                            int kind) {
  const std::unique_ptr<Scenario> scenario = make(seed);
  scenario->simulator.print_trace(true);
  (void)run_once(*scenario, moment == 0 ? kNever : moment, kind);
  return scenario->failure;
}

}  // namespace shoal::crash
