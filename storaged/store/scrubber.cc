#include "storaged/store/scrubber.h"

#include <algorithm>

#include "storaged/limits.h"

namespace shoal::storaged {

void Scrubber::restore(const ScrubRecord& record, bool found, const Clock& clock) {
  record_ = record;
  if (!found) record_.next_due_ns = clock.wall_now_ns() + Duration(kScrubInterval).count();
  resume_at_ = clock.now() + kScrubStartDelay;
}

void Scrubber::start(std::uint64_t bytes_per_second) {
  asked_rate_ = bytes_per_second;
  stopping_ = false;
  if (!running_) asked_ = true;
  next_read_ = {};
  wake_.notify_all();
}

void Scrubber::stop() {
  asked_ = false;
  if (running_) stopping_ = true;
  record_.pass_end = record_.cursor_generation = 0;
  wake_.notify_all();
}

void Scrubber::close() {
  closing_ = true;
  if (Executor::current() != nullptr) Executor::current()->cancel(timer_);
  wake_.notify_all();
}

std::uint64_t Scrubber::rate() const {
  if (asked_rate_ > 0) return asked_rate_;
  return configured_rate_ > 0 ? configured_rate_ : kDefaultScrubBytesPerSecond;
}

Task<void> Scrubber::wait_until(MonotonicTime when) {
  Executor& executor = *Executor::current();
  if (when != MonotonicTime::max()) {
    timer_ = executor.schedule_at(when, [this] { wake_.notify_all(); });
  }
  co_await wake_.wait();
  executor.cancel(timer_);
}

Task<bool> Scrubber::next_pass() {
  const Clock& clock = Executor::current()->clock();
  while (!closing_ && !asked_) {
    MonotonicTime when = MonotonicTime::max();
    if (configured_rate_ > 0) {
      const Duration left(std::max<std::int64_t>(0, record_.next_due_ns - clock.wall_now_ns()));
      when = std::max(resume_at_, record_.pass_end > 0 ? clock.now() : clock.now() + left);
    }
    if (when <= clock.now()) break;
    co_await wait_until(when);
  }
  asked_ = false;
  co_return !closing_;
}

void Scrubber::begin_pass(std::uint64_t end, std::uint64_t bytes_total) {
  running_ = true;
  stopping_ = false;
  record_.pass_end = end;
  bytes_done_ = 0;
  bytes_total_ = bytes_total;
  next_read_ = {};
}

Task<void> Scrubber::pace(std::uint64_t bytes, bool drive_is_busy) {
  const Clock& clock = Executor::current()->clock();
  const double seconds = static_cast<double>(bytes) / static_cast<double>(rate());
  const Duration cost(static_cast<std::int64_t>(seconds * 1e9) * (drive_is_busy ? 2 : 1));
  next_read_ = std::max(next_read_, clock.now()) + cost;
  while (goes_on() && clock.now() < next_read_) co_await wait_until(next_read_);
}

void Scrubber::finish_segment(std::uint64_t generation, std::uint64_t bytes_done) {
  record_.cursor_generation = generation;
  bytes_done_ = bytes_done;
}

void Scrubber::end_pass(bool whole, const Clock& clock) {
  running_ = false;
  asked_rate_ = 0;
  if (closing_) return;
  const WallTimeNs now = clock.wall_now_ns();
  record_.pass_end = record_.cursor_generation = 0;
  record_.next_due_ns = now + Duration(kScrubInterval).count();
  if (!whole) return;
  ++passes_;
  bytes_done_ = bytes_total_;
  record_.last_finished_ns = now;
}

ScrubStatus Scrubber::status() const {
  ScrubStatus status;
  status.state = running_ || asked_           ? ScrubState::kRunning
                 : configured_rate_ == 0      ? ScrubState::kOff
                                              : ScrubState::kWaiting;
  status.bytes_done = bytes_done_;
  status.bytes_total = bytes_total_;
  status.bytes_per_second = running_ ? rate() : configured_rate_;
  status.last_finished_ns = record_.last_finished_ns;
  status.passes = passes_;
  return status;
}

}  // namespace shoal::storaged
