// CRC32C against RFC 3720's vectors, in pieces, and combined.
#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>

#include "base/random.h"

namespace shoal {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string random_text(SeededRandom& random, std::size_t size) {
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random.below(256));
  return text;
}

// Bit by bit, as the polynomial says.
std::uint32_t slow_crc32c(std::string_view text) {
  std::uint32_t crc = 0xffffffff;
  for (const char c : text) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78U : 0U);
  }
  return ~crc;
}

// Source: RFC 3720, appendix B.4; the last one is the check value of the CRC catalogue.
TEST(Crc32c, KnownVectors) {
  std::string ascending(32, '\0');
  std::iota(ascending.begin(), ascending.end(), '\0');
  const std::string descending(ascending.rbegin(), ascending.rend());
  EXPECT_EQ(crc32c(bytes_of("")), 0U);
  EXPECT_EQ(crc32c(bytes_of(std::string(32, '\0'))), 0x8A9136AAU);
  EXPECT_EQ(crc32c(bytes_of(std::string(32, '\xff'))), 0x62A8AB43U);
  EXPECT_EQ(crc32c(bytes_of(ascending)), 0x46DD794EU);
  EXPECT_EQ(crc32c(bytes_of(descending)), 0x113FDB5CU);
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xE3069283U);
}

TEST(Crc32c, EveryLengthAndAlignmentIsWhatThePolynomialSays) {
  SeededRandom random(1);
  const std::string text = random_text(random, 320);
  for (std::size_t from = 0; from < 9; ++from) {
    for (std::size_t size = 0; size < 300; size += 1 + size / 40) {
      const std::string_view part = std::string_view(text).substr(from, size);
      ASSERT_EQ(crc32c(bytes_of(part)), slow_crc32c(part)) << from << ", " << size;
    }
  }
}

TEST(Crc32c, ExtendingAndCombiningGiveTheCrcOfTheWhole) {
  SeededRandom random(2);
  const std::string text = random_text(random, 10'000);
  const std::uint32_t whole = crc32c(bytes_of(text));
  for (const std::size_t cut : {0UL, 1UL, 7UL, 4096UL, 9'999UL, 10'000UL}) {
    const auto first = bytes_of(text).first(cut);
    const auto second = bytes_of(text).subspan(cut);
    EXPECT_EQ(crc32c(second, crc32c(first)), whole) << cut;
    EXPECT_EQ(crc32c_combine(crc32c(first), crc32c(second), second.size()), whole) << cut;
  }
}

TEST(Crc32c, CombiningOverMoreZerosThanMemoryHolds) {
  // 2^40 zeros behind "123456789", put together by doubling.
  std::uint32_t zeros = crc32c(bytes_of(std::string(1, '\0')));
  std::uint64_t length = 1;
  for (; length < 1ULL << 40; length *= 2) zeros = crc32c_combine(zeros, zeros, length);
  const std::uint32_t at_once = crc32c_combine(0xE3069283U, zeros, length);
  const std::uint32_t half = crc32c_combine(zeros, zeros, length);
  EXPECT_EQ(crc32c_combine(at_once, zeros, length), crc32c_combine(0xE3069283U, half, 2 * length));
}

TEST(Crc32c, AListIsItsPiecesInOrder) {
  const BufferList list{Buffer::copy_of("1234"), Buffer(), Buffer::copy_of("56789")};
  EXPECT_EQ(crc32c(list), 0xE3069283U);
  EXPECT_EQ(crc32c(BufferList{}), 0U);
}

TEST(Crc32c, OneCrcForEachPageAndTheRest) {
  SeededRandom random(3);
  const std::string text = random_text(random, 2 * kPageSize + 5);
  const auto crcs = page_crc32cs(bytes_of(text));
  ASSERT_EQ(crcs.size(), 3U);
  EXPECT_EQ(crcs[0], crc32c(bytes_of(text).first(kPageSize)));
  EXPECT_EQ(crcs[1], crc32c(bytes_of(text).subspan(kPageSize, kPageSize)));
  EXPECT_EQ(crcs[2], crc32c(bytes_of(text).subspan(2 * kPageSize)));
  EXPECT_TRUE(page_crc32cs({}).empty());
  EXPECT_EQ(page_crc32cs(bytes_of(text).first(kPageSize)).size(), 1U);
}

}  // namespace
}  // namespace shoal
