// CRC-64/NVME against the specification's vectors and a bit-by-bit one.
#include "base/crc64nvme.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"

namespace shoal {
namespace {

std::uint64_t bit_by_bit(std::span<const std::byte> bytes) {
  std::uint64_t crc = ~std::uint64_t{0};
  for (const std::byte byte : bytes) {
    crc ^= static_cast<std::uint64_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x9a6c9329ac4bc9b5 : 0);
  }
  return ~crc;
}

// Source: NVM Command Set Specification, "64b CRC test cases", and the CRC catalogue's check value.
TEST(Crc64Nvme, Vectors) {
  const std::string digits = "123456789";
  EXPECT_EQ(crc64nvme(std::as_bytes(std::span(digits))), 0xae8b14860a799888);
  EXPECT_EQ(crc64nvme(std::vector<std::byte>(4096, std::byte{0})), 0x6482d367eb22b64e);
  EXPECT_EQ(crc64nvme(std::vector<std::byte>(4096, std::byte{0xff})), 0xc0ddba7302eca3ac);
  EXPECT_EQ(crc64nvme({}), 0U);
}

TEST(Crc64Nvme, AnyLengthInAnyPieces) {
  SeededRandom random(3);
  std::vector<std::byte> bytes(1000);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.below(256));
  for (std::size_t size = 0; size < bytes.size(); size += 1 + random.below(20)) {
    const auto all = std::span(bytes).first(size);
    const std::size_t cut = random.below(size + 1);
    EXPECT_EQ(crc64nvme(all), bit_by_bit(all)) << size;
    EXPECT_EQ(crc64nvme(all.subspan(cut), crc64nvme(all.first(cut))), bit_by_bit(all)) << size;
  }
}

}  // namespace
}  // namespace shoal
