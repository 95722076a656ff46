// Buffer: a slice of reference-counted, page-aligned bytes. Copying a Buffer shares the bytes;
// slicing is free. The first byte of a fresh Buffer is aligned for O_DIRECT and its allocation is a
// whole number of pages, so it may be padded in place. The bytes are written by the one who
// allocated them, before they are shared; after that they are read-only by convention. Reference
// counts are atomic: a Buffer may be handed to another thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace shoal {

inline constexpr std::size_t kPageSize = 4096;

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}
constexpr std::uint64_t round_down(std::uint64_t value, std::uint64_t unit) {
  return value / unit * unit;
}

class Buffer {
 public:
  Buffer() = default;
  // `size` uninitialised bytes; capacity is rounded up to kPageSize. Aborts when memory is
  // exhausted.
  static Buffer allocate(std::size_t size);
  static Buffer zeros(std::size_t size);
  static Buffer copy_of(std::span<const std::byte> bytes);
  static Buffer copy_of(std::string_view text);
  // Bytes owned by somebody else, released by `owner`'s deleter (a gRPC slice, a protobuf string).
  static Buffer wrap(std::shared_ptr<void> owner, const std::byte* data, std::size_t size);

  const std::byte* data() const { return data_; }
  std::byte* mutable_data() { return const_cast<std::byte*>(data_); }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Bytes from data() to the end of the allocation (0 extra for wrapped bytes): how far it may be
  // grown in place.
  std::size_t capacity() const { return capacity_; }
  // size <= capacity(). Bytes past the old size are as they were.
  void resize(std::size_t size);

  std::span<const std::byte> span() const { return {data_, size_}; }
  std::string_view view() const { return {reinterpret_cast<const char*>(data_), size_}; }
  // offset + length <= size().
  Buffer slice(std::size_t offset, std::size_t length) const;
  bool page_aligned() const { return reinterpret_cast<std::uintptr_t>(data_) % kPageSize == 0; }

 private:
  std::shared_ptr<void> owner_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

// A logical byte string in several pieces, in order.
using BufferList = std::vector<Buffer>;
std::size_t total_size(const BufferList& list);
// One contiguous Buffer; no copy when the list has one piece.
Buffer flatten(const BufferList& list);

// Bytes held by all live Buffers that were allocated here (not wrapped ones): a metric.
std::size_t buffer_bytes_in_use();

}  // namespace shoal
