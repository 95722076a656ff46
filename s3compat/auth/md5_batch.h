// Md5Batch: the MD5 of all bodies that one loop receives, hashed side by side (base/md5_lanes.h). A
// body's bytes are queued as they come and hashed when the loop has run what was ready, so that
// everything that arrived in one turn shares the lanes. Belongs to one executor.
#pragma once

#include <absl/container/inlined_vector.h>

#include <array>
#include <vector>

#include "base/async/sync.h"
#include "base/buffer.h"
#include "base/md5_lanes.h"

namespace shoal::s3compat {

class Md5Stream;

class Md5Batch {
 public:
  explicit Md5Batch(Executor& executor) : executor_(executor) {}
  ~Md5Batch() { CHECK(active_.empty()); }

 private:
  friend class Md5Stream;
  void activate(Md5Stream* stream);
  void deactivate(Md5Stream* stream);
  void schedule();
  void run();
  std::size_t run_round();

  Executor& executor_;
  std::vector<Md5Stream*> active_;  // those with something to hash, longest waiting first
  bool scheduled_ = false;
};

// One body. Destroyed on the batch's executor, at any time.
class Md5Stream {
 public:
  explicit Md5Stream(Md5Batch& batch) : batch_(batch) {}
  ~Md5Stream() { batch_.deactivate(this); }
  Md5Stream(const Md5Stream&) = delete;
  Md5Stream& operator=(const Md5Stream&) = delete;

  // The bytes are shared with the caller, and held until they are hashed.
  void update(Buffer bytes);
  // Waits while much is queued.
  Task<void> wait_for_room();
  // Once, after the last update().
  Task<std::array<std::byte, 16>> finish();

 private:
  friend class Md5Batch;
  struct Work {
    const std::byte* data;
    std::size_t blocks;
  };
  bool prepare();
  Work work() const;
  void advance(std::size_t blocks);
  void pad();

  Md5Batch& batch_;
  Md5State state_;
  absl::InlinedVector<Buffer, 2> queue_;  // short: see kMaxQueuedBytes
  std::size_t queued_ = 0;
  std::uint64_t total_ = 0;
  // A block that lies in several pieces, or the last ones, with padding.
  std::array<std::byte, 2 * kMd5BlockBytes> carry_{};
  std::size_t carry_bytes_ = 0;
  std::size_t carry_blocks_ = 0;  // whole ones, to be hashed now
  std::size_t carry_at_ = 0;
  bool ending_ = false;
  bool padded_ = false;
  bool active_ = false;
  Signal changed_;
};

}  // namespace shoal::s3compat
