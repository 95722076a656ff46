// RowBuilder: how pieces become a row. RowLayout decides where each piece lies; encode_row copies
// the bytes into columns, computes every checksum once and makes the parity. Pure and synchronous;
// knows no pack and no drive.
//
// Layout: the least filled column takes the next piece whole; among equals the one that follows
// `first_column`. Pieces of kPageStartBytes and more start on a page; smaller ones follow each
// other at kSmallAlignment and never cross a page.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/row_layout.h"
#include "client/buffer_pool.h"
#include "client/limits.h"
#include "proto/storage_api.h"

namespace shoal::client {

struct PiecePlace {
  std::uint8_t column = 0;
  std::uint32_t offset = 0;  // bytes from the start of the column
  std::uint32_t length = 0;
};

class RowLayout {
 public:
  // `code` is valid. The first piece goes to column `first_column` % k.
  RowLayout(const CodeShape& code, std::uint32_t first_column,
            std::uint32_t max_column_bytes = kMaxColumnBytes);

  // Places a piece of 1..kMaxColumnBytes bytes behind those already placed; false when the row has
  // no room for it.
  bool place(std::uint32_t length);

  const CodeShape& code() const { return code_; }
  const std::vector<PiecePlace>& places() const { return places_; }
  // The heights reached; the lease epoch is the caller's.
  RowShape shape() const;

 private:
  CodeShape code_;
  std::uint32_t first_column_;
  std::uint32_t max_column_bytes_;
  std::array<std::uint32_t, kMaxDataColumns> heights_{};
  std::vector<PiecePlace> places_;
};

// What encode_row is told of a piece.
struct PieceSource {
  const Buffer* bytes = nullptr;
  InodeId inode;
  std::uint64_t file_offset = 0;
};

// One row ready to be sent under any pack of the same code.
struct EncodedRow {
  struct Column {
    BufferList payload;  // at most one piece; empty when the column is
    std::vector<std::uint32_t> page_crcs;
  };
  RowShape shape;
  std::vector<PiecePlace> places;  // in the order of the pieces
  std::vector<std::uint32_t> piece_crcs;
  std::vector<Column> columns;       // code.width() of them
  std::vector<RowObject> directory;  // for the parity fragments
  std::uint64_t data_bytes = 0;      // of pieces
  std::uint64_t fragment_bytes = 0;  // of all columns
};

// Encodes `pieces`, one for each place of the layout, of the placed lengths. A piece of whole pages
// at a page-aligned address that is alone in its column is shared, not copied. Columns come from
// `pool`. Errors: those of ErasureCode::get.
Result<EncodedRow> encode_row(const RowLayout& layout, std::span<const PieceSource> pieces,
                              BufferPool& pool);

}  // namespace shoal::client
