// BufferPool: recycles the large buffers that rows are assembled in. Memory of this size goes back
// to the kernel when it is freed and comes back as page faults, which cost four times what encoding
// a row of small pieces does. Holds at most max_idle_bytes; what is beyond goes back. get() belongs
// to the owner; buffers may be released on any thread, also after the pool is gone.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "base/buffer.h"

namespace shoal::client {

class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  static std::shared_ptr<BufferPool> create(std::size_t max_idle_bytes) {
    return std::shared_ptr<BufferPool>(new BufferPool(max_idle_bytes));
  }

  // `size` uninitialised bytes, page-aligned, with room to the end of the last page.
  Buffer get(std::size_t size);
  std::size_t idle_bytes() const;
  // Gives all idle buffers back.
  void trim();

 private:
  // Classes are powers of two; smaller buffers are left to malloc, larger ones do not occur in
  // rows.
  static constexpr int kSmallestShift = 15;
  static constexpr int kLargestShift = 24;
  struct Loan;
  explicit BufferPool(std::size_t max_idle_bytes) : max_idle_bytes_(max_idle_bytes) {}
  void put(Buffer block, std::size_t size_class);

  const std::size_t max_idle_bytes_;
  mutable std::mutex mutex_;
  std::array<std::vector<Buffer>, kLargestShift - kSmallestShift + 1> idle_;  // guarded by mutex_
  std::size_t idle_bytes_ = 0;                                                // guarded by mutex_
};

}  // namespace shoal::client
