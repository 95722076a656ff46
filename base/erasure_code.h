// ErasureCode: Reed-Solomon over GF(2^8) on ISA-L with a Cauchy matrix, k in 1..16 data and m in
// 0..4 parity columns. Any k of the k + m columns give back the rest. Works byte by byte, so any
// byte range can be coded alone. Immutable once made; safe from any thread. Source: ISA-L
// erasure_code.h; Plank, "Optimizing Cauchy Reed-Solomon Codes".
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/row_layout.h"

namespace shoal {

class ErasureCode {
 public:
  // Errors: kInvalidArgument for k, m or a matrix outside the range. Codes are cached: the same
  // shape, the same object.
  static Result<std::shared_ptr<const ErasureCode>> get(const CodeShape& shape);

  const CodeShape& shape() const { return shape_; }

  // `data`: k columns, `parity`: m columns, each of `length` bytes. A null data column counts as
  // zeros.
  void encode(std::span<const std::byte* const> data, std::span<std::byte* const> parity,
              std::size_t length) const;

  // Restores `wanted` columns (indices 0..k+m-1) over `length` bytes. `have[c]` is column c, or
  // null when it is lost; columns of `zero_columns` (bit c) are known to be all zero and count as
  // present. `out[i]` receives wanted[i]. Errors: kUnavailable when fewer than k columns are
  // present.
  Status reconstruct(std::span<const std::byte* const> have, std::uint32_t zero_columns,
                     std::span<const int> wanted, std::span<std::byte* const> out,
                     std::size_t length) const;

 private:
  explicit ErasureCode(const CodeShape& shape);
  CodeShape shape_;
  std::vector<unsigned char> matrix_;         // (k + m) x k
  std::vector<unsigned char> encode_tables_;  // 32 * k * m bytes, ISA-L's expanded form
};

}  // namespace shoal
