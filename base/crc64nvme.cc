#include "base/crc64nvme.h"

#include <array>
#include <cstring>

namespace shoal {
namespace {

constexpr std::uint64_t kReflectedPolynomial = 0x9a6c9329ac4bc9b5;
constexpr std::size_t kSlices = 16;  // bytes taken at a time
using Tables = std::array<std::array<std::uint64_t, 256>, kSlices>;

// tables[s][b]: what byte b does to the CRC when s bytes follow it.
constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint64_t byte = 0; byte < 256; ++byte) {
    std::uint64_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? kReflectedPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (std::size_t slice = 1; slice < kSlices; ++slice) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint64_t before = tables[slice - 1][byte];
      tables[slice][byte] = before >> 8 ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

}  // namespace

std::uint64_t crc64nvme(std::span<const std::byte> bytes, std::uint64_t previous) {
  std::uint64_t crc = ~previous;
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  while (left >= kSlices) {
    std::uint64_t words[2];
    std::memcpy(words, at, sizeof words);
    words[0] ^= crc;
    crc = 0;
    for (std::size_t i = 0; i < 8; ++i) {
      crc ^= kTables[15 - i][words[0] >> (8 * i) & 0xff];
      crc ^= kTables[7 - i][words[1] >> (8 * i) & 0xff];
    }
    at += kSlices;
    left -= kSlices;
  }
  for (; left > 0; ++at, --left)
    crc = crc >> 8 ^ kTables[0][(crc ^ static_cast<std::uint64_t>(*at)) & 0xff];
  return ~crc;
}

}  // namespace shoal
