// BackgroundPace: how much background work (repair, repack, audits) a daemon does while others use
// it: a share of what they do, and a little in any case. While nobody does, it is not held back.
// Belongs to one executor.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/async/sync.h"
#include "base/clock.h"
#include "base/result.h"

namespace shoal::storaged {

class BackgroundPace {
 public:
  explicit BackgroundPace(Executor& executor) : executor_(executor) {}

  // A call that is not background work, of so many bytes.
  void note_foreground(std::uint64_t bytes);
  // Waits until a background call of so many bytes may run; in the order of the calls. Errors:
  // kDeadlineExceeded, and then it counts nothing.
  Task<Status> admit(std::uint64_t bytes, MonotonicTime deadline);
  // Lets all go that wait, and waits for them. Nobody is held back afterwards.
  Task<void> close();

 private:
  bool is_busy() const;
  void earn();

  Executor& executor_;
  AsyncMutex turn_;
  MonotonicTime foreground_at_{};
  MonotonicTime earned_at_{};
  double credit_ = 0;  // of background calls, in units of kBackgroundUnitBytes
  std::size_t waiting_ = 0;
  bool closing_ = false;
};

}  // namespace shoal::storaged
