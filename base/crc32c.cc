#include "base/crc32c.h"

#include <isa-l/crc.h>

#include <array>

namespace shoal {
namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78;  // Castagnoli, reflected

using Matrix = std::array<std::uint32_t, 32>;  // over GF(2): row i is the image of bit i

std::uint32_t times(const Matrix& matrix, std::uint32_t vector) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; vector != 0; vector >>= 1, ++i) {
    if (vector & 1) sum ^= matrix[i];
  }
  return sum;
}

Matrix square(const Matrix& matrix) {
  Matrix out{};
  for (std::size_t i = 0; i < 32; ++i) out[i] = times(matrix, matrix[i]);
  return out;
}

// Entry n: what 2^n zero bytes do to the register.
std::array<Matrix, 64> make_zero_operators() {
  Matrix bit{};
  bit[0] = kPolynomial;
  for (std::size_t i = 1; i < 32; ++i) bit[i] = 1U << (i - 1);
  Matrix byte = square(square(square(bit)));
  std::array<Matrix, 64> all{};
  for (auto& entry : all) {
    entry = byte;
    byte = square(byte);
  }
  return all;
}

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t previous) {
  // ISA-L works on the raw register: neither the initial nor the final inversion is its own.
  auto* data = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(bytes.data()));
  std::uint32_t crc = ~previous;
  constexpr std::size_t kMax = 1U << 30;  // its length is an int
  std::size_t left = bytes.size();
  while (left > 0) {
    const std::size_t n = left < kMax ? left : kMax;
    crc = crc32_iscsi(data, static_cast<int>(n), crc);
    data += n;
    left -= n;
  }
  return ~crc;
}

std::uint32_t crc32c(const BufferList& list) {
  std::uint32_t crc = 0;
  for (const Buffer& piece : list) crc = crc32c(piece.span(), crc);
  return crc;
}

std::uint32_t crc32c_combine(std::uint32_t crc_a, std::uint32_t crc_b, std::uint64_t length_b) {
  static const std::array<Matrix, 64> operators = make_zero_operators();
  for (std::size_t i = 0; length_b != 0; length_b >>= 1, ++i) {
    if (length_b & 1) crc_a = times(operators[i], crc_a);
  }
  return crc_a ^ crc_b;
}

std::vector<std::uint32_t> page_crc32cs(std::span<const std::byte> bytes) {
  std::vector<std::uint32_t> crcs;
  crcs.reserve((bytes.size() + kPageSize - 1) / kPageSize);
  for (std::size_t at = 0; at < bytes.size(); at += kPageSize) {
    crcs.push_back(crc32c(bytes.subspan(at, std::min(kPageSize, bytes.size() - at))));
  }
  return crcs;
}

}  // namespace shoal
