#include "base/compact.h"

#include <gtest/gtest.h>

namespace shoal {
namespace {

TEST(CompactTest, WhatIsWrittenIsRead) {
  const std::uint64_t numbers[] = {0, 1, 127, 128, 300, 1ULL << 32, UINT64_MAX - 1, UINT64_MAX};
  const std::int64_t differences[] = {0, -1, 1, 63, -64, 64, INT64_MIN, INT64_MAX};
  std::string bytes;
  for (const std::uint64_t number : numbers) put_varint(&bytes, number);
  for (const std::int64_t number : differences) put_signed(&bytes, number);
  put_fixed32(&bytes, 0x01020304);
  put_fixed64(&bytes, 0x0102030405060708);
  put_text(&bytes, "text");
  put_text(&bytes, "");
  CompactReader in(bytes);
  for (const std::uint64_t number : numbers) EXPECT_EQ(in.varint(), number);
  for (const std::int64_t number : differences) EXPECT_EQ(in.signed_varint(), number);
  EXPECT_EQ(in.fixed32(), 0x01020304U);
  EXPECT_EQ(in.fixed64(), 0x0102030405060708U);
  EXPECT_EQ(in.text(), "text");
  EXPECT_EQ(in.text(), "");
  EXPECT_TRUE(in.done());
}

TEST(CompactTest, SmallNumbersTakeOneByteAndTheirLengthIsKnown) {
  for (const std::uint64_t number : {0ULL, 127ULL, 128ULL, 16'383ULL, 16'384ULL, ~0ULL}) {
    std::string bytes;
    put_varint(&bytes, number);
    EXPECT_EQ(bytes.size(), varint_bytes(number));
    std::uint64_t read = 0;
    EXPECT_EQ(read_trusted_varint(bytes.data(), &read), bytes.data() + bytes.size());
    EXPECT_EQ(read, number);
  }
  std::string bytes;
  put_signed(&bytes, -64);
  EXPECT_EQ(bytes.size(), 1U);
}

TEST(CompactTest, EveryCutIsNoticed) {
  std::string bytes;
  put_varint(&bytes, 1ULL << 40);
  put_text(&bytes, "text");
  put_fixed64(&bytes, 7);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    CompactReader in(std::string_view(bytes).substr(0, length));
    in.varint();
    in.text();
    in.fixed64();
    EXPECT_FALSE(in.ok()) << length;
    EXPECT_EQ(in.varint(), 0U);
    EXPECT_EQ(in.left(), 0U);
  }
}

TEST(CompactTest, ANumberOfOver64BitsOrAboveTheMostIsRefused) {
  const std::string eleven(11, '\xff');
  CompactReader long_one(eleven);
  long_one.varint();
  EXPECT_FALSE(long_one.ok());
  const std::string above("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10);
  CompactReader too_high(above);
  too_high.varint();
  EXPECT_FALSE(too_high.ok());
  std::string bytes;
  put_varint(&bytes, 1ULL << 32);
  CompactReader narrow(bytes);
  EXPECT_EQ(narrow.varint32(), 0U);
  EXPECT_FALSE(narrow.ok());
}

TEST(CompactTest, ALengthBehindTheEndIsRefused) {
  std::string bytes;
  put_varint(&bytes, UINT64_MAX);
  bytes += "abc";
  CompactReader in(bytes);
  EXPECT_EQ(in.text(), "");
  EXPECT_FALSE(in.ok());
}

}  // namespace
}  // namespace shoal
