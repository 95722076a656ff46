#include "storaged/background_pace.h"

#include <algorithm>

#include "storaged/limits.h"

namespace shoal::storaged {
namespace {

// A call costs something also when it is small.
double units(std::uint64_t bytes) {
  return std::max(1.0, static_cast<double>(bytes) / kBackgroundUnitBytes);
}

}  // namespace

bool BackgroundPace::is_busy() const {
  return !closing_ && executor_.now() - foreground_at_ < kForegroundQuiet;
}

void BackgroundPace::note_foreground(std::uint64_t bytes) {
  foreground_at_ = executor_.now();
  credit_ = std::min(credit_ + units(bytes) * kBackgroundShare, kBackgroundBurst);
}

void BackgroundPace::earn() {
  const MonotonicTime now = executor_.now();
  const double passed = std::chrono::duration<double>(now - earned_at_).count();
  earned_at_ = now;
  credit_ = std::min(credit_ + passed * kBackgroundUnitsPerSecond, kBackgroundBurst);
}

Task<Status> BackgroundPace::admit(std::uint64_t bytes, MonotonicTime deadline) {
  if (!is_busy() && waiting_ == 0) {
    credit_ = 0;
    co_return OkStatus();
  }
  ++waiting_;
  Status admitted;
  {
    const auto turn = co_await turn_.lock();
    earn();
    while (is_busy() && credit_ < 0 && executor_.now() < deadline) {
      co_await sleep_until(executor_.now() + kBackgroundLook);
      earn();
    }
    if (executor_.now() >= deadline) {
      admitted = DeadlineExceededError("background work was held back for others");
    } else {
      credit_ = is_busy() ? credit_ - units(bytes) : 0;
    }
  }
  --waiting_;
  co_return admitted;
}

Task<void> BackgroundPace::close() {
  closing_ = true;
  while (waiting_ > 0) co_await sleep_until(executor_.now() + kBackgroundLook);
}

}  // namespace shoal::storaged
