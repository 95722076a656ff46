// What a load measured, and how it is printed: the same for every kind of `shoal bench`.
#pragma once

#include <cstdint>
#include <string>

#include "tools/bench/histogram.h"

namespace shoal::tools {

struct LoadReport {
  double seconds = 0;
  std::uint64_t requests = 0;
  std::uint64_t errors = 0;
  std::uint64_t mismatches = 0;  // bodies that were not what was put; counted in errors too
  std::uint64_t bytes = 0;       // of bodies, both ways
  std::string first_error;       // status line and the start of the body
  Histogram latency_us;
  double client_cpu_seconds = 0;
};

// What our own server spent during a run.
struct ServerCounters {
  double cpu_seconds = 0;
  std::uint64_t drive_flushes = 0;
  std::uint64_t journal_flushes = 0;
  std::uint64_t drives = 0;
};
ServerCounters operator-(const ServerCounters& after, const ServerCounters& before);

struct LoadDescription {
  std::string operation;
  std::uint64_t size_bytes = 0;
  std::uint64_t concurrency = 0;
  bool json = false;  // one JSON object instead of lines for people
};
// `used` may be null: what a foreign server spent is not known.
void print_report(const LoadDescription& load, const LoadReport& report,
                  const ServerCounters* used);

}  // namespace shoal::tools
