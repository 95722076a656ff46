// CallGate: the calls of one drive that are under way, each answered at its deadline at the latest.
// A call whose drive hangs cannot be taken back: its memory stays until it ends, so when too many
// hang the next ones are refused at once. Belongs to one executor.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "base/async/sync.h"
#include "base/ids.h"
#include "base/result.h"
#include "storaged/limits.h"

namespace shoal::storaged {

class CallGate {
 public:
  explicit CallGate(std::size_t max_hung = kMaxHungCalls) : max_hung_(max_hung) {}

  // Runs `operation` of the drive, which owns all that it uses. Errors: kDeadlineExceeded at
  // `deadline`, the outcome unknown; kUnavailable when too many calls hang; else what the operation
  // gives.
  template <typename T>
  Task<T> run(DriveId drive, Task<T> operation, MonotonicTime deadline) {
    if (hung_ >= max_hung_)
      co_return UnavailableError("drive " + drive.to_string() + " hangs: " + std::to_string(hung_) +
                                 " calls have not ended at their deadlines");
    const auto call = std::make_shared<Call<T>>();
    scope_.spawn(finish(call, std::move(operation)));
    TimerId timer;
    if (!call->answer.ready() && deadline != MonotonicTime::max()) {
      timer = Executor::current()->schedule_at(deadline, [this, call, drive] {
        if (call->answer.ready()) return;
        call->answer.set(DeadlineExceededError("drive " + drive.to_string() + " has not answered"));
        call->is_late = true;
        ++hung_;
      });
    }
    T answer = co_await call->answer.take();
    Executor::current()->cancel(timer);
    co_return answer;
  }

  // Calls that were answered with kDeadlineExceeded and have not ended yet.
  std::size_t hung() const { return hung_; }
  // Waits until all have ended, also those that hang.
  Task<void> join() { co_await scope_.join(); }

 private:
  template <typename T>
  struct Call {
    Completion<T> answer;
    bool is_late = false;
  };
  template <typename T>
  Task<void> finish(std::shared_ptr<Call<T>> call, Task<T> operation) {
    T result = co_await std::move(operation);
    if (call->is_late) {
      --hung_;
    } else {
      call->answer.set(std::move(result));
    }
  }

  const std::size_t max_hung_;
  std::size_t hung_ = 0;
  TaskScope scope_;
};

}  // namespace shoal::storaged
