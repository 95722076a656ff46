// One run: a cluster, its workloads and what goes wrong, from a seed to a verdict.
#pragma once

#include <cstdint>
#include <string>

#include "tests/sim/sim_cluster.h"

namespace shoal::sim {

struct RunOptions {
  std::uint64_t seed = 1;
  Canary canary = Canary::kNone;
  bool quick = false;       // a tenth of the load
  bool membership = false;  // drives come and go, and are repaired
  bool print_trace = false;
};

struct RunResult {
  std::string failure;  // empty: every invariant held
  std::uint64_t trace_hash = 0;
  std::uint64_t steps = 0;
  std::uint64_t acknowledged = 0;  // operations of all workloads
  double virtual_seconds = 0;
};

RunResult run_seed(const RunOptions& options);

}  // namespace shoal::sim
