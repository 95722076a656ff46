#include "base/buffer.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/check.h"

namespace shoal {
namespace {

std::atomic<std::size_t> bytes_in_use{0};

}  // namespace

Buffer Buffer::allocate(std::size_t size) {
  Buffer buffer;
  if (size == 0) return buffer;
  const std::size_t capacity = round_up(size, kPageSize);
  void* memory = std::aligned_alloc(kPageSize, capacity);
  if (memory == nullptr) throw std::bad_alloc();
  bytes_in_use.fetch_add(capacity, std::memory_order_relaxed);
  buffer.owner_ = std::shared_ptr<void>(memory, [capacity](void* p) {
    std::free(p);
    bytes_in_use.fetch_sub(capacity, std::memory_order_relaxed);
  });
  buffer.data_ = static_cast<const std::byte*>(memory);
  buffer.size_ = size;
  buffer.capacity_ = capacity;
  return buffer;
}

Buffer Buffer::zeros(std::size_t size) {
  Buffer buffer = allocate(size);
  if (size > 0) std::memset(buffer.mutable_data(), 0, buffer.capacity());
  return buffer;
}

Buffer Buffer::copy_of(std::span<const std::byte> bytes) {
  Buffer buffer = allocate(bytes.size());
  if (!bytes.empty()) std::memcpy(buffer.mutable_data(), bytes.data(), bytes.size());
  return buffer;
}

Buffer Buffer::copy_of(std::string_view text) {
  return copy_of(std::as_bytes(std::span(text.data(), text.size())));
}

Buffer Buffer::wrap(std::shared_ptr<void> owner, const std::byte* data, std::size_t size) {
  Buffer buffer;
  buffer.owner_ = std::move(owner);
  buffer.data_ = data;
  buffer.size_ = size;
  buffer.capacity_ = size;
  return buffer;
}

void Buffer::resize(std::size_t size) {
  CHECK(size <= capacity_);
  size_ = size;
}

Buffer Buffer::slice(std::size_t offset, std::size_t length) const {
  CHECK(offset <= size_ && length <= size_ - offset);
  Buffer part = *this;
  part.data_ = data_ + offset;
  part.size_ = length;
  part.capacity_ = capacity_ - offset;
  return part;
}

std::size_t total_size(const BufferList& list) {
  std::size_t total = 0;
  for (const Buffer& piece : list) total += piece.size();
  return total;
}

Buffer flatten(const BufferList& list) {
  if (list.empty()) return Buffer();
  if (list.size() == 1) return list.front();
  Buffer whole = Buffer::allocate(total_size(list));
  std::size_t at = 0;
  for (const Buffer& piece : list) {
    if (piece.empty()) continue;
    std::memcpy(whole.mutable_data() + at, piece.data(), piece.size());
    at += piece.size();
  }
  return whole;
}

std::size_t buffer_bytes_in_use() { return bytes_in_use.load(std::memory_order_relaxed); }

}  // namespace shoal
