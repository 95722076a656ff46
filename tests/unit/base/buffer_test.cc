#include "base/buffer.h"

#include <gtest/gtest.h>

#include <cstring>

namespace shoal {
namespace {

TEST(Buffer, AFreshOneIsAlignedAndMayGrowToItsPage) {
  for (const std::size_t size : {1UL, 4095UL, 4096UL, 4097UL, 1048576UL}) {
    Buffer buffer = Buffer::allocate(size);
    EXPECT_TRUE(buffer.page_aligned());
    EXPECT_EQ(buffer.size(), size);
    EXPECT_EQ(buffer.capacity(), round_up(size, kPageSize));
    buffer.resize(buffer.capacity());
    EXPECT_EQ(buffer.size(), buffer.capacity());
  }
}

TEST(Buffer, NothingHoldsNoMemory) {
  const std::size_t before = buffer_bytes_in_use();
  const Buffer none = Buffer::allocate(0);
  EXPECT_TRUE(none.empty());
  EXPECT_TRUE(Buffer::zeros(0).empty());
  EXPECT_TRUE(Buffer::copy_of("").empty());
  EXPECT_TRUE(Buffer().slice(0, 0).empty());
  EXPECT_EQ(none.view(), "");
  EXPECT_EQ(buffer_bytes_in_use(), before);
}

TEST(Buffer, ZerosAreZeroToTheEndOfThePage) {
  Buffer buffer = Buffer::zeros(10);
  buffer.resize(buffer.capacity());
  EXPECT_EQ(buffer.view(), std::string(kPageSize, '\0'));
}

TEST(Buffer, ASliceSharesTheBytesAndKeepsThemAlive) {
  const std::size_t before = buffer_bytes_in_use();
  Buffer part;
  {
    const Buffer whole = Buffer::copy_of("0123456789");
    part = whole.slice(3, 4);
    EXPECT_EQ(part.data(), whole.data() + 3);
    EXPECT_EQ(part.capacity(), kPageSize - 3);
  }
  EXPECT_EQ(part.view(), "3456");
  EXPECT_EQ(part.slice(1, 2).view(), "45");
  EXPECT_TRUE(part.slice(4, 0).empty());
  EXPECT_FALSE(part.page_aligned());
  EXPECT_EQ(buffer_bytes_in_use(), before + kPageSize);
  part = Buffer();
  EXPECT_EQ(buffer_bytes_in_use(), before);
}

TEST(Buffer, WrappedBytesGoBackToTheirOwner) {
  auto owner = std::make_shared<std::string>("wrapped");
  const std::weak_ptr<std::string> watched = owner;
  const std::size_t before = buffer_bytes_in_use();
  const auto* data = reinterpret_cast<const std::byte*>(owner->data());
  Buffer buffer = Buffer::wrap(std::move(owner), data, 7);
  EXPECT_EQ(buffer.view(), "wrapped");
  EXPECT_EQ(buffer.capacity(), 7U);
  EXPECT_EQ(buffer_bytes_in_use(), before);
  Buffer part = buffer.slice(0, 4);
  buffer = Buffer();
  EXPECT_FALSE(watched.expired());
  part = Buffer();
  EXPECT_TRUE(watched.expired());
}

TEST(Buffer, AListIsFlattenedInOrderAndOnePieceIsNotCopied) {
  const Buffer one = Buffer::copy_of("one");
  const BufferList list{one, Buffer(), Buffer::copy_of("two")};
  EXPECT_EQ(total_size(list), 6U);
  EXPECT_EQ(flatten(list).view(), "onetwo");
  EXPECT_EQ(flatten({one}).data(), one.data());
  EXPECT_TRUE(flatten({}).empty());
  EXPECT_TRUE(flatten({Buffer(), Buffer()}).empty());
}

TEST(Buffer, RoundingIsToWholeUnits) {
  EXPECT_EQ(round_up(0, 4096), 0U);
  EXPECT_EQ(round_up(1, 4096), 4096U);
  EXPECT_EQ(round_up(4096, 4096), 4096U);
  EXPECT_EQ(round_down(4095, 4096), 0U);
  EXPECT_EQ(round_down(8191, 4096), 4096U);
  EXPECT_EQ(round_up(10, 3), 12U);
}

TEST(BufferDeathTest, ASliceBehindTheEndIsABug) {
  const Buffer buffer = Buffer::copy_of("abc");
  EXPECT_DEATH((void)buffer.slice(4, 0), "CHECK failed");
  EXPECT_DEATH((void)buffer.slice(1, 3), "CHECK failed");
  EXPECT_DEATH((void)buffer.slice(1, SIZE_MAX), "CHECK failed");
  Buffer copy = buffer;
  EXPECT_DEATH(copy.resize(kPageSize + 1), "CHECK failed");
}

}  // namespace
}  // namespace shoal
