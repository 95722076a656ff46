// RepackPlan: what is to be moved out of some packs, from the references to them. Pure functions
// and plain data.
//
// A *run* is a part of one stored piece that something refers to: it is read, and written again,
// once, whoever shares it. References to a run become references to the new piece; one that covers
// all of it is whole again.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/extent.h"
#include "base/row_layout.h"

namespace shoal::client {

// Whose extent it is: a file's, or that of a part of an upload.
struct Referrer {
  std::uint64_t inode = 0;
  std::string upload;  // instead of an inode
  std::uint32_t part = 0;
  friend auto operator<=>(const Referrer&, const Referrer&) = default;
};

struct PackReference {
  std::uint32_t referrer = 0;  // index
  Extent extent;
};

struct StoredRun {
  PackId pack;
  std::uint32_t row = 0;
  std::uint8_t column = 0;
  std::uint32_t column_offset = 0;
  std::uint32_t length = 0;
  bool whole_piece = false;  // then crc32c is its CRC
  std::uint32_t crc32c = 0;
  std::size_t first_reference = 0;
  std::size_t reference_count = 0;

  std::uint32_t column_end() const { return column_offset + length; }
};

// Sorts the references by where their bytes lie and gives the runs in that order.
std::vector<StoredRun> plan_runs(std::vector<PackReference>* references);

// What `reference` becomes once its run is stored as `stored`, one whole piece.
Extent moved_extent(const Extent& reference, const StoredRun& run, const Extent& stored);

// How many runs, from the first on, fill one row of `code`; at least one.
std::size_t runs_of_a_row(const CodeShape& code, std::span<const StoredRun> runs,
                          std::size_t max_pieces);
// Bytes that the drives hold of a row of them.
std::uint64_t raw_bytes_of_row(const CodeShape& code, std::span<const StoredRun> runs);
// Bytes that the drives hold of all of them in full rows.
std::uint64_t raw_bytes_in_rows(const CodeShape& code, std::span<const StoredRun> runs,
                                std::size_t max_pieces);

}  // namespace shoal::client
