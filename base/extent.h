// Extent: where a run of a file's bytes lies. It names a pack, a row, a column and a byte range of
// that column; the placement table tells which drive holds the column. Extents are immutable and
// may be shared between files.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"

namespace shoal {

// The largest file; sums of two offsets stay within 64 bits.
inline constexpr std::uint64_t kMaxFileBytes = std::uint64_t{1} << 62;

struct Extent {
  std::uint64_t file_offset = 0;  // bytes from the start of the file
  std::uint32_t length = 0;       // bytes, at most kMaxColumnBytes
  PackId pack;
  std::uint32_t row = 0;
  std::uint8_t column = 0;  // a data column
  std::uint32_t column_offset =
      0;  // of this extent's first byte: bytes from the start of the column
  // The piece as it was written, which may be larger than what this extent still refers to (a
  // truncate or an overwrite cut it): its CRC covers stored_length bytes from column_offset -
  // stored_offset. Cutting n bytes off the front adds n to file_offset, column_offset and
  // stored_offset alike.
  std::uint32_t stored_offset = 0;
  std::uint32_t stored_length = 0;
  std::uint32_t crc32c = 0;  // of the whole stored piece

  std::uint64_t file_end() const { return file_offset + length; }
  bool whole() const { return stored_offset == 0 && stored_length == length; }
  friend bool operator==(const Extent&, const Extent&) = default;
};

using ExtentList = std::vector<Extent>;  // ascending, not overlapping; a gap reads as zeros

}  // namespace shoal
