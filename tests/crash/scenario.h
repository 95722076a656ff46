// Crash points: a small workload is run once to count the moments at which a crash makes a
// difference (an operation on the device begins or ends), then again and again with a crash at each
// of them and each kind of power loss; what comes up afterwards must keep every promise that was
// made. A crash while it comes up is tried too.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tests/sim/sim_disk.h"

namespace shoal::crash {

// What is tried: one subject on one disk. Its coroutines run on `executor`, the ledger of what was
// promised lives in the scenario and survives. Breaches are reported with fail().
class Scenario {
 public:
  explicit Scenario(std::uint64_t seed) : simulator(seed), disk(simulator, "disk", 64 << 20) {}
  virtual ~Scenario() = default;

  // Opens the subject; the first time, and again after each crash.
  virtual Task<Status> open() = 0;
  virtual Task<void> work() = 0;
  // Compares the subject with the ledger.
  virtual Task<void> check() = 0;
  virtual Task<void> close() = 0;
  // The process is gone: forgets the subject without tearing it down.
  virtual void abandon() = 0;

  void fail(const std::string& what) {
    if (failure.empty()) failure = what;
  }

  sim::Simulator simulator;
  sim::SimDisk disk;
  sim::SimExecutor* executor = nullptr;
  std::string failure;
};

using MakeScenario = std::function<std::unique_ptr<Scenario>(std::uint64_t seed)>;

struct CrashPointReport {
  std::uint64_t runs = 0;
  std::uint64_t moments = 0;  // of the workload without a crash
  std::string failure;        // of the first run that broke a promise, and how to repeat it
};

// Every moment of the workload of `seed`, every kind of power loss and a kill without one. With
// `stride` n only every n-th moment, beginning with a different one for each kind.
CrashPointReport try_every_crash_point(const MakeScenario& make, std::uint64_t seed,
                                       std::uint64_t stride = 1);
// One of its runs alone, with its trace on stderr: `kind` as try_every_crash_point prints it.
std::string try_crash_point(const MakeScenario& make, std::uint64_t seed, std::uint64_t moment,
                            int kind);

}  // namespace shoal::crash
