// Clock: the only way to learn the time, so that a test can move it. The system clock is read in
// clock.cc alone.
#pragma once

#include <chrono>
#include <cstdint>

namespace shoal {

// Nanoseconds since the clock's own start; only differences mean anything.
using MonotonicTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;
using Duration = std::chrono::nanoseconds;
// Nanoseconds since 1970-01-01 UTC.
using WallTimeNs = std::int64_t;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicTime now() const = 0;
  virtual WallTimeNs wall_now_ns() const = 0;
};

// The machine's clock. Lives for the whole program; safe from any thread.
const Clock& system_clock();

}  // namespace shoal
