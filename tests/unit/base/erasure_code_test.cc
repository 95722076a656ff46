// ErasureCode: golden parity (a format: what was written must be read for ever), an independent
// reference of the matrix, and every loss it promises to bear.
#include "base/erasure_code.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "base/random.h"

namespace shoal {
namespace {

using Bytes = std::vector<std::byte>;

CodeShape shape_of(int k, int m) {
  return {static_cast<std::uint8_t>(k), static_cast<std::uint8_t>(m), MatrixId::kCauchy};
}

std::shared_ptr<const ErasureCode> code_of(int k, int m) {
  auto code = ErasureCode::get(shape_of(k, m));
  EXPECT_TRUE(code.ok()) << code.status().to_string();
  return code.value();
}

// k data columns that any language can make again, and their parity.
struct Row {
  Row(int k, int m, std::size_t length) : code(code_of(k, m)) {
    for (int c = 0; c < k + m; ++c) columns.emplace_back(length);
    std::uint32_t state = 1;
    for (int c = 0; c < k; ++c) {
      for (std::byte& byte : column(c)) {
        state = state * 1'664'525 + 1'013'904'223;
        byte = static_cast<std::byte>(state >> 24);
      }
    }
    encode();
  }
  Bytes& column(int c) { return columns[static_cast<std::size_t>(c)]; }
  void encode() {
    std::vector<const std::byte*> data;
    std::vector<std::byte*> parity;
    for (int c = 0; c < code->shape().width(); ++c) {
      if (c < code->shape().k) data.push_back(column(c).data());
      if (c >= code->shape().k) parity.push_back(column(c).data());
    }
    code->encode(data, parity, columns[0].size());
  }
  // Column pointers without those of `lost` (bit c), from byte `offset` on.
  std::vector<const std::byte*> without(std::uint32_t lost, std::size_t offset = 0) const {
    std::vector<const std::byte*> have;
    for (std::size_t c = 0; c < columns.size(); ++c)
      have.push_back((lost >> c & 1) != 0 ? nullptr : columns[c].data() + offset);
    return have;
  }

  std::shared_ptr<const ErasureCode> code;
  std::vector<Bytes> columns;
};

std::vector<int> columns_in(std::uint32_t set) {
  std::vector<int> columns;
  for (int c = 0; c < kMaxColumns; ++c) {
    if ((set >> c & 1) != 0) columns.push_back(c);
  }
  return columns;
}

// Restores `wanted` of `row`, of which `lost` are not there, in a byte range.
Result<std::vector<Bytes>> restore(const Row& row, std::uint32_t lost, std::uint32_t zeros,
                                   const std::vector<int>& wanted, std::size_t offset,
                                   std::size_t length) {
  std::vector<Bytes> out(wanted.size(), Bytes(length, std::byte{0x5a}));
  std::vector<std::byte*> places;
  for (Bytes& bytes : out) places.push_back(bytes.data());
  RETURN_IF_ERROR(row.code->reconstruct(row.without(lost, offset), zeros, wanted, places, length));
  return out;
}

struct Golden {
  int k;
  int m;
  std::vector<std::uint32_t> parity_crcs;
};

// Never change these: drives hold parity that was made so.
TEST(ErasureCode, GoldenParity) {
  const std::vector<Golden> golden{
      {1, 1, {0x7817FB4E}},
      {2, 1, {0x0AD09963}},
      {3, 2, {0x2FE7236E, 0xDDF31582}},
      {4, 2, {0x7292C901, 0x74709D2B}},
      {6, 3, {0x41B5745E, 0xB69EE601, 0xA4627B45}},
      {8, 3, {0xDA947489, 0x68B53C42, 0xEE6480F5}},
      {16, 4, {0x54BCF21D, 0xF20C1899, 0xA7D2542E, 0xE2BCD4B3}},
      {5, 4, {0x0231735B, 0x04C53BDC, 0x70EA8C65, 0x4F1F20F7}},
  };
  for (const Golden& one : golden) {
    Row row(one.k, one.m, 1000);
    for (int p = 0; p < one.m; ++p) {
      EXPECT_EQ(crc32c(row.column(one.k + p)), one.parity_crcs[static_cast<std::size_t>(p)])
          << one.k << "+" << one.m << ", parity " << p << ", is " << std::hex
          << crc32c(row.column(one.k + p));
    }
  }
}

// GF(2^8) with x^8 + x^4 + x^3 + x^2 + 1, the slow way.
unsigned multiply(unsigned a, unsigned b) {
  unsigned product = 0;
  for (; b != 0; b >>= 1) {
    if ((b & 1) != 0) product ^= a;
    a = (a & 0x80) != 0 ? (a << 1 ^ 0x11d) : a << 1;
  }
  return product;
}

unsigned inverse(unsigned a) {
  unsigned b = 1;
  while (multiply(a, b) != 1) ++b;
  return b;
}

TEST(ErasureCode, ParityIsTheCauchyMatrixTimesTheData) {
  for (int k = 1; k <= kMaxDataColumns; ++k) {
    for (int m = 1; m <= kMaxParityColumns; ++m) {
      Row row(k, m, 65);
      for (int p = 0; p < m; ++p) {
        for (std::size_t i = 0; i < 65; i += 16) {
          unsigned sum = 0;
          for (int c = 0; c < k; ++c) {
            const auto factor = inverse(static_cast<unsigned>(k + p) ^ static_cast<unsigned>(c));
            sum ^= multiply(factor, std::to_integer<unsigned>(row.column(c)[i]));
          }
          ASSERT_EQ(std::to_integer<unsigned>(row.column(k + p)[i]), sum)
              << k << "+" << m << ", parity " << p << ", byte " << i;
        }
      }
    }
  }
}

TEST(ErasureCode, EveryLossOfUpToMColumnsIsRestored) {
  for (const auto& [k, m] : {std::pair(1, 1), {2, 1}, {3, 0}, {4, 2}, {6, 3}, {4, 4}}) {
    const Row row(k, m, 67);
    for (std::uint32_t lost = 0; lost < 1U << (k + m); ++lost) {
      const std::vector<int> wanted = columns_in(lost);
      auto restored = restore(row, lost, 0, wanted, 0, 67);
      if (std::popcount(lost) > m) {
        ASSERT_EQ(restored.status().code(), StatusCode::kUnavailable);
        continue;
      }
      ASSERT_TRUE(restored.ok()) << restored.status().to_string();
      for (std::size_t w = 0; w < wanted.size(); ++w) {
        ASSERT_EQ((*restored)[w], row.columns[static_cast<std::size_t>(wanted[w])])
            << k << "+" << m << ", lost " << lost << ", column " << wanted[w];
      }
    }
  }
}

TEST(ErasureCode, TheWidestCodeLosesAnyFour) {
  const Row row(16, 4, 33);
  SeededRandom random(16);
  for (int round = 0; round < 300; ++round) {
    std::uint32_t lost = 0;
    while (std::popcount(lost) < 4) lost |= 1U << random.below(20);
    const std::vector<int> wanted = columns_in(lost);
    auto restored = restore(row, lost, 0, wanted, 0, 33);
    ASSERT_TRUE(restored.ok());
    for (std::size_t w = 0; w < wanted.size(); ++w)
      ASSERT_EQ((*restored)[w], row.columns[static_cast<std::size_t>(wanted[w])]) << lost;
  }
}

TEST(ErasureCode, AnyByteRangeIsRestoredAlone) {
  // Longer than what is coded in one step (64 KiB), so that ranges cross its edges.
  constexpr std::size_t kLength = 150'000;
  const Row row(4, 2, kLength);
  SeededRandom random(4);
  for (int round = 0; round < 60; ++round) {
    const std::size_t offset = random.below(kLength);
    const std::size_t length = round % 3 == 0
                                   ? kLength - offset
                                   : random.below(std::min<std::size_t>(kLength - offset, 300) + 1);
    auto restored = restore(row, 0b10'0010, 0, {1, 5}, offset, length);
    ASSERT_TRUE(restored.ok());
    for (std::size_t w = 0; w < 2; ++w) {
      const Bytes& whole = row.columns[w == 0 ? 1 : 5];
      ASSERT_EQ(std::memcmp((*restored)[w].data(), whole.data() + offset, length), 0)
          << offset << ", " << length;
    }
  }
}

TEST(ErasureCode, ColumnsKnownToBeZeroAreNotNeeded) {
  Row row(4, 2, 100);
  for (const int c : {1, 2, 3}) row.column(c).assign(100, std::byte{0});
  row.encode();
  // A row with one object: of the four fragments that may exist, one parity column is enough.
  auto restored = restore(row, 0b01'1111, 0b00'1110, {0, 2}, 0, 100);
  ASSERT_TRUE(restored.ok()) << restored.status().to_string();
  EXPECT_EQ((*restored)[0], row.columns[0]);
  EXPECT_EQ((*restored)[1], row.columns[2]);
  EXPECT_EQ(restore(row, 0b11'1111, 0b00'1110, {0}, 0, 100).status().code(),
            StatusCode::kUnavailable);
}

TEST(ErasureCode, ANullDataColumnCountsAsZeros) {
  Row row(3, 2, 100'000);
  row.column(1).assign(100'000, std::byte{0});
  row.encode();
  const std::vector<const std::byte*> data{row.column(0).data(), nullptr, row.column(2).data()};
  std::vector<Bytes> parity(2, Bytes(100'000));
  const std::vector<std::byte*> places{parity[0].data(), parity[1].data()};
  row.code->encode(data, places, 100'000);
  EXPECT_EQ(parity[0], row.columns[3]);
  EXPECT_EQ(parity[1], row.columns[4]);
}

TEST(ErasureCode, WhatIsThereCanBeAskedForToo) {
  const Row row(4, 2, 50);
  auto restored = restore(row, 0b00'0001, 0, {3, 0, 5, 4}, 0, 50);
  ASSERT_TRUE(restored.ok());
  EXPECT_EQ((*restored)[0], row.columns[3]);
  EXPECT_EQ((*restored)[1], row.columns[0]);
  EXPECT_EQ((*restored)[2], row.columns[5]);
  EXPECT_EQ((*restored)[3], row.columns[4]);
  EXPECT_TRUE(restore(row, 0, 0, {}, 0, 50).ok());
  EXPECT_TRUE(restore(row, 0, 0, {1}, 0, 0).ok());
}

TEST(ErasureCode, ShapesOutsideTheRangeAreRefused) {
  EXPECT_EQ(ErasureCode::get(shape_of(0, 1)).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ErasureCode::get(shape_of(17, 1)).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ErasureCode::get(shape_of(4, 5)).status().code(), StatusCode::kInvalidArgument);
  CodeShape unknown = shape_of(4, 2);
  unknown.matrix = static_cast<MatrixId>(2);
  EXPECT_EQ(ErasureCode::get(unknown).status().code(), StatusCode::kInvalidArgument);
}

TEST(ErasureCode, TheSameShapeIsTheSameObject) {
  EXPECT_EQ(code_of(4, 2), code_of(4, 2));
  EXPECT_NE(code_of(4, 2), code_of(4, 3));
  EXPECT_EQ(code_of(4, 3)->shape(), shape_of(4, 3));
}

}  // namespace
}  // namespace shoal
