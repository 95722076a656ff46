#include "base/erasure_code.h"

#include <isa-l/erasure_code.h>

#include <array>
#include <cstring>
#include <mutex>

#include "base/check.h"

namespace shoal {
namespace {

unsigned char* as_uchar(const std::byte* bytes) {
  return reinterpret_cast<unsigned char*>(const_cast<std::byte*>(bytes));
}

// Zeros for null data columns: as long as the longest piece coded at once.
constexpr std::size_t kStepBytes = 64 * 1024;
alignas(64) const std::array<std::byte, kStepBytes> kZeros{};

}  // namespace

Result<std::shared_ptr<const ErasureCode>> ErasureCode::get(const CodeShape& shape) {
  RETURN_IF_ERROR(validate(shape));
  static std::mutex mutex;
  static std::array<std::array<std::shared_ptr<const ErasureCode>, kMaxParityColumns + 1>,
                    kMaxDataColumns + 1>
      cache;
  const std::lock_guard lock(mutex);
  auto& entry = cache[shape.k][shape.m];
  if (entry == nullptr) entry.reset(new ErasureCode(shape));
  return entry;
}

ErasureCode::ErasureCode(const CodeShape& shape)
    : shape_(shape),
      matrix_(static_cast<std::size_t>(shape.width()) * shape.k),
      encode_tables_(std::size_t{32} * shape.k * shape.m) {
  gf_gen_cauchy1_matrix(matrix_.data(), shape.width(), shape.k);
  if (shape.m > 0) {
    ec_init_tables(shape.k, shape.m, matrix_.data() + std::size_t{shape.k} * shape.k,
                   encode_tables_.data());
  }
}

void ErasureCode::encode(std::span<const std::byte* const> data, std::span<std::byte* const> parity,
                         std::size_t length) const {
  CHECK(data.size() == shape_.k && parity.size() == shape_.m);
  if (shape_.m == 0) return;
  std::array<unsigned char*, kMaxDataColumns> sources{};
  std::array<unsigned char*, kMaxParityColumns> targets{};
  for (std::size_t at = 0; at < length; at += kStepBytes) {
    const std::size_t n = std::min(kStepBytes, length - at);
    for (std::size_t c = 0; c < shape_.k; ++c) {
      sources[c] = data[c] == nullptr ? as_uchar(kZeros.data()) : as_uchar(data[c] + at);
    }
    for (std::size_t c = 0; c < shape_.m; ++c) targets[c] = as_uchar(parity[c] + at);
    ec_encode_data(static_cast<int>(n), shape_.k, shape_.m,
                   const_cast<unsigned char*>(encode_tables_.data()), sources.data(),
                   targets.data());
  }
}

Status ErasureCode::reconstruct(std::span<const std::byte* const> have, std::uint32_t zero_columns,
                                std::span<const int> wanted, std::span<std::byte* const> out,
                                std::size_t length) const {
  const auto k = static_cast<std::size_t>(shape_.k);
  CHECK(have.size() == static_cast<std::size_t>(shape_.width()) && wanted.size() == out.size());
  CHECK(wanted.size() <= kMaxColumns);
  // The first k columns that are there, and their rows of the matrix.
  std::array<int, kMaxDataColumns> source_columns{};
  std::vector<unsigned char> present(k * k);
  std::size_t found = 0;
  for (std::size_t c = 0; c < have.size() && found < k; ++c) {
    if (have[c] == nullptr && (zero_columns >> c & 1) == 0) continue;
    std::memcpy(present.data() + found * k, matrix_.data() + c * k, k);
    source_columns[found++] = static_cast<int>(c);
  }
  if (found < k) {
    return UnavailableError("only " + std::to_string(found) + " columns of a " + to_string(shape_) +
                            " row are there, " + std::to_string(k) + " are needed");
  }
  std::vector<unsigned char> inverse(k * k);
  if (gf_invert_matrix(present.data(), inverse.data(), shape_.k) != 0) {
    return InternalError("a matrix of " + to_string(shape_) + " cannot be inverted");
  }
  // Each wanted column as a combination of the sources: its row of the matrix times the inverse.
  std::vector<unsigned char> rows(wanted.size() * k);
  for (std::size_t w = 0; w < wanted.size(); ++w) {
    const unsigned char* row = matrix_.data() + static_cast<std::size_t>(wanted[w]) * k;
    for (std::size_t i = 0; i < k; ++i) {
      unsigned char sum = 0;
      for (std::size_t j = 0; j < k; ++j) sum ^= gf_mul(row[j], inverse[j * k + i]);
      rows[w * k + i] = sum;
    }
  }
  std::vector<unsigned char> tables(32 * k * wanted.size());
  ec_init_tables(shape_.k, static_cast<int>(wanted.size()), rows.data(), tables.data());
  std::array<unsigned char*, kMaxDataColumns> sources{};
  std::array<unsigned char*, kMaxColumns> targets{};
  for (std::size_t at = 0; at < length; at += kStepBytes) {
    const std::size_t n = std::min(kStepBytes, length - at);
    for (std::size_t i = 0; i < k; ++i) {
      const std::byte* column = have[static_cast<std::size_t>(source_columns[i])];
      sources[i] = column == nullptr ? as_uchar(kZeros.data()) : as_uchar(column + at);
    }
    for (std::size_t w = 0; w < out.size(); ++w) targets[w] = as_uchar(out[w] + at);
    ec_encode_data(static_cast<int>(n), shape_.k, static_cast<int>(wanted.size()), tables.data(),
                   sources.data(), targets.data());
  }
  return OkStatus();
}

}  // namespace shoal
