// WorkControl: what background work asks before each step: may it go on, and how fast. Belongs to
// one executor.
#pragma once

#include <cstdint>

#include "base/async/sync.h"

namespace shoal::client {

class WorkControl {
 public:
  explicit WorkControl(Executor& executor) : executor_(executor) {}

  // 0: no limit. Counts from the next take() on.
  void set_rate(std::uint64_t bytes_per_second) { bytes_per_second_ = bytes_per_second; }
  std::uint64_t rate() const { return bytes_per_second_; }

  // Waits until what was taken before is paid for by the time that has passed, and takes `bytes`.
  // False: the work is to end now.
  Task<bool> take(std::uint64_t bytes);
  // False: the work is to end now.
  Task<bool> pause(Duration duration);
  // As pause(); hurry() ends this or the next one early.
  Task<bool> rest(Duration duration);
  void hurry();

  bool stopping() const { return stopping_; }
  // Ends all waiting.
  void stop();

 private:
  Task<bool> wait(Duration duration, const bool* enough);

  Executor& executor_;
  std::uint64_t bytes_per_second_ = 0;
  MonotonicTime paid_at_{};
  bool stopping_ = false;
  bool hurried_ = false;
  Signal wake_;
};

}  // namespace shoal::client
