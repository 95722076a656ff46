// The shared state of one ExtentReader::read(): the read of the extent's own column and, when that
// fails or is slow, reads of other columns of its row. Fetches may outlive the read() that started
// them (losers of a hedge), so they hold this state and reach the reader through a cell only. All
// on one executor.
#pragma once

#include <coroutine>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/async/task.h"
#include "base/buffer.h"
#include "base/ids.h"
#include "base/result.h"
#include "proto/storage_api.h"

namespace shoal::client {

struct Fetch {
  enum class State : std::uint8_t { kIdle, kRunning, kDone, kFailed };
  State state = State::kIdle;
  std::uint8_t column = 0;
  DriveId drive;
  std::uint32_t length = 0;  // bytes asked for; less than the range when the column ends inside it
  MonotonicTime started{};
  bool hung = false;  // running, but its drive answers nobody
  Status error;
  Buffer bytes;
};

class FetchObserver {
 public:
  virtual ~FetchObserver() = default;
  virtual void fetch_ended(const Fetch& fetch) = 0;
};
// Null once the reader is gone.
struct FetchObserverCell {
  FetchObserver* observer = nullptr;
};

struct ReadState {
  std::shared_ptr<FetchObserverCell> observer;
  Fetch direct;
  std::vector<Fetch> others;  // does not grow once a fetch of it runs
  bool hedge_due = false;
  MonotonicTime hedge_at{};
  static constexpr std::size_t kNotWatched = std::size_t(-1);
  std::size_t watch_index = kNotWatched;
  std::coroutine_handle<> waiter;

  void wake() {
    if (waiter) Executor::current()->resume(std::exchange(waiter, nullptr));
  }
};
using ReadStatePtr = std::shared_ptr<ReadState>;

// For the one coroutine that drives the read; look at the state again after each wait.
struct ReadStateAwaiter {
  ReadState& state;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> self) const noexcept { state.waiter = self; }
  void await_resume() const noexcept {}
};

}  // namespace shoal::client
