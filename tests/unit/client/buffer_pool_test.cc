#include "client/buffer_pool.h"

#include <gtest/gtest.h>

#include <optional>

namespace shoal::client {
namespace {

TEST(BufferPoolTest, ABlockComesBackWhenItsLastSliceGoes) {
  const auto pool = BufferPool::create(1 << 20);
  Buffer whole = pool->get(100'000);
  const std::byte* const data = whole.data();
  Buffer slice = whole.slice(4096, 10);
  whole = Buffer();
  EXPECT_EQ(pool->idle_bytes(), 0u);
  slice = Buffer();
  EXPECT_EQ(pool->idle_bytes(), 131'072u);
  EXPECT_EQ(pool->get(70'000).data(), data);
}

TEST(BufferPoolTest, BuffersArePageAlignedWithRoomToTheEndOfThePage) {
  const auto pool = BufferPool::create(1 << 20);
  for (const std::size_t size : {1u, 16'384u, 16'385u, 32'768u, 100'001u, 17u << 20}) {
    const Buffer buffer = pool->get(size);
    EXPECT_EQ(buffer.size(), size);
    EXPECT_TRUE(buffer.page_aligned());
    EXPECT_GE(buffer.capacity(), round_up(size, kPageSize));
  }
}

TEST(BufferPoolTest, NoMoreThanTheBoundIsKept) {
  const auto pool = BufferPool::create(100'000);
  {
    const Buffer a = pool->get(65'536);
    const Buffer b = pool->get(65'536);
    EXPECT_NE(a.data(), b.data());
  }
  EXPECT_EQ(pool->idle_bytes(), 65'536u);
}

TEST(BufferPoolTest, ABufferMayOutliveThePool) {
  std::optional<Buffer> buffer;
  buffer = BufferPool::create(1 << 20)->get(100'000);
  buffer->mutable_data()[99'999] = std::byte{1};
  EXPECT_EQ(buffer->data()[99'999], std::byte{1});
}

}  // namespace
}  // namespace shoal::client
