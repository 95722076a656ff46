#include "base/row_layout.h"

#include <algorithm>
#include <charconv>

namespace shoal {

Status validate(const CodeShape& code) {
  if (code.k < 1 || code.k > kMaxDataColumns) {
    return InvalidArgumentError("code " + to_string(code) + ": data columns must be 1 to " +
                                std::to_string(kMaxDataColumns));
  }
  if (code.m > kMaxParityColumns) {
    return InvalidArgumentError("code " + to_string(code) + ": parity columns must be 0 to " +
                                std::to_string(kMaxParityColumns));
  }
  if (code.matrix != MatrixId::kCauchy) {
    return InvalidArgumentError("code " + to_string(code) + ": unknown matrix " +
                                std::to_string(static_cast<int>(code.matrix)));
  }
  return OkStatus();
}

Result<CodeShape> parse_code(std::string_view text) {
  CodeShape code;
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, code.k);
  if (first.ec == std::errc() && first.ptr != end && *first.ptr == '+') {
    const auto second = std::from_chars(first.ptr + 1, end, code.m);
    if (second.ec == std::errc() && second.ptr == end) {
      RETURN_IF_ERROR(validate(code));
      return code;
    }
  }
  return InvalidArgumentError("code '" + std::string(text) + "': expected K+M, such as 4+2");
}

std::string to_string(const CodeShape& code) {
  return std::to_string(code.k) + "+" + std::to_string(code.m);
}

std::uint32_t RowShape::parity_height() const {
  return *std::max_element(heights.begin(), heights.begin() + code.k);
}

std::uint32_t RowShape::height(int column) const {
  return column < code.k ? heights[static_cast<std::size_t>(column)] : parity_height();
}

int RowShape::fragment_count() const {
  const auto filled =
      std::count_if(heights.begin(), heights.begin() + code.k, [](auto h) { return h > 0; });
  return static_cast<int>(filled) + code.m;
}

Status validate(const RowShape& shape) {
  RETURN_IF_ERROR(validate(shape.code));
  for (std::size_t c = 0; c < kMaxDataColumns; ++c) {
    if (shape.heights[c] > kMaxColumnBytes || (c >= shape.code.k && shape.heights[c] != 0)) {
      return InvalidArgumentError("row shape: column " + std::to_string(c) + " of a " +
                                  to_string(shape.code) + " row has height " +
                                  std::to_string(shape.heights[c]));
    }
  }
  if (shape.parity_height() == 0)
    return InvalidArgumentError("row shape: every data column is empty");
  return OkStatus();
}

}  // namespace shoal
