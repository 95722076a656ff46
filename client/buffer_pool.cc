#include "client/buffer_pool.h"

#include <bit>
#include <utility>

namespace shoal::client {

// What a Buffer's owner points to: gives the block back when the last reference to it goes.
struct BufferPool::Loan {
  Loan(Buffer b, std::size_t c, std::weak_ptr<BufferPool> p)
      : block(std::move(b)), size_class(c), pool(std::move(p)) {}
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;
  ~Loan() {
    if (const auto home = pool.lock()) home->put(std::move(block), size_class);
  }
  Buffer block;
  std::size_t size_class;
  std::weak_ptr<BufferPool> pool;
};

Buffer BufferPool::get(std::size_t size) {
  if (size <= (std::size_t{1} << kSmallestShift) / 2 || size > std::size_t{1} << kLargestShift) {
    return Buffer::allocate(size);
  }
  const auto shift = std::max(static_cast<int>(std::bit_width(size - 1)), kSmallestShift);
  const auto size_class = static_cast<std::size_t>(shift - kSmallestShift);
  Buffer block;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_[size_class].empty()) {
      block = std::move(idle_[size_class].back());
      idle_[size_class].pop_back();
      idle_bytes_ -= block.capacity();
    }
  }
  if (block.empty()) block = Buffer::allocate(std::size_t{1} << shift);
  const std::byte* const data = block.data();
  const std::size_t capacity = block.capacity();
  auto loan = std::make_shared<Loan>(std::move(block), size_class, weak_from_this());
  return Buffer::wrap(std::move(loan), data, capacity).slice(0, size);
}

void BufferPool::put(Buffer block, std::size_t size_class) {
  const std::lock_guard lock(mutex_);
  if (idle_bytes_ + block.capacity() > max_idle_bytes_) return;
  idle_bytes_ += block.capacity();
  idle_[size_class].push_back(std::move(block));
}

void BufferPool::trim() {
  decltype(idle_) freed;
  const std::lock_guard lock(mutex_);
  freed.swap(idle_);
  idle_bytes_ = 0;
}

std::size_t BufferPool::idle_bytes() const {
  const std::lock_guard lock(mutex_);
  return idle_bytes_;
}

}  // namespace shoal::client
