// Row layout: how the columns of one row relate. A row has k data columns and m parity columns;
// data columns differ in height (bytes); parity is as high as the highest; short columns count as
// zero-extended; an empty data column has no fragment. Pure functions and plain data.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/ids.h"
#include "base/result.h"

namespace shoal {

inline constexpr int kMaxDataColumns = 16;
inline constexpr int kMaxParityColumns = 4;
inline constexpr int kMaxColumns = kMaxDataColumns + kMaxParityColumns;
// No column is higher than this; larger objects are cut into pieces of it.
inline constexpr std::uint32_t kMaxColumnBytes = 1 << 20;

// Which matrix made the parity. Never reused for another one.
enum class MatrixId : std::uint8_t { kCauchy = 1 };

// An erasure code: k data and m parity columns.
struct CodeShape {
  std::uint8_t k = 0;  // 1..16
  std::uint8_t m = 0;  // 0..4
  MatrixId matrix = MatrixId::kCauchy;
  int width() const { return k + m; }
  friend bool operator==(const CodeShape&, const CodeShape&) = default;
};
Status validate(const CodeShape& code);
// "4+2" to a shape and back. Errors: kInvalidArgument naming the text.
Result<CodeShape> parse_code(std::string_view text);
std::string to_string(const CodeShape& code);

// Names one fragment anywhere in the cluster.
struct FragmentKey {
  PackId pack;
  std::uint32_t row = 0;
  std::uint8_t column = 0;  // 0..k-1 data, k..k+m-1 parity
  friend auto operator<=>(const FragmentKey&, const FragmentKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const FragmentKey& key) {
    return H::combine(std::move(h), key.pack, key.row, key.column);
  }
};

// What every fragment carries about its row, so that it can be understood without any other record.
struct RowShape {
  CodeShape code;
  std::array<std::uint32_t, kMaxDataColumns> heights{};  // bytes of data column i; 0: no fragment
  std::uint64_t lease_epoch = 0;                         // of the pack lease it was written under

  // The highest data column, which is the height of every parity column.
  std::uint32_t parity_height() const;
  // Bytes of `column` (data or parity) as stored.
  std::uint32_t height(int column) const;
  int fragment_count() const;
  friend bool operator==(const RowShape&, const RowShape&) = default;
};
Status validate(const RowShape& shape);

}  // namespace shoal
