#include "client/background/work_control.h"

#include <algorithm>

namespace shoal::client {
namespace {

// Time that was not used is made up for, so much of it: timers are coarse, and a piece of work may
// be paid for in less than their step.
constexpr Duration kMadeUp = std::chrono::milliseconds(20);

}  // namespace

Task<bool> WorkControl::take(std::uint64_t bytes) {
  const MonotonicTime now = executor_.now();
  if (paid_at_ > now) {
    const bool goes_on = co_await pause(paid_at_ - now);
    if (!goes_on) co_return false;
  }
  if (bytes_per_second_ > 0) {
    const double seconds = static_cast<double>(bytes) / static_cast<double>(bytes_per_second_);
    paid_at_ = std::max(paid_at_, executor_.now() - kMadeUp) +
               std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  }
  co_return !stopping_;
}

Task<bool> WorkControl::pause(Duration duration) { co_return co_await wait(duration, nullptr); }

Task<bool> WorkControl::rest(Duration duration) {
  co_await wait(duration, &hurried_);
  hurried_ = false;
  co_return !stopping_;
}

Task<bool> WorkControl::wait(Duration duration, const bool* enough) {
  if (stopping_) co_return false;
  const MonotonicTime until = executor_.now() + duration;
  const TimerId timer = executor_.schedule_at(until, [this] { wake_.notify_all(); });
  while (!stopping_ && executor_.now() < until && (enough == nullptr || !*enough))
    co_await wake_.wait();
  executor_.cancel(timer);
  co_return !stopping_;
}

void WorkControl::hurry() {
  hurried_ = true;
  wake_.notify_all();
}

void WorkControl::stop() {
  stopping_ = true;
  wake_.notify_all();
}

}  // namespace shoal::client
