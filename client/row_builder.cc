#include "client/row_builder.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/erasure_code.h"

namespace shoal::client {
namespace {

// The CRC of A + B for a B of exactly one page, by table: appending is linear in A's CRC. Much
// cheaper than the general crc32c_combine, which matters because large pieces are joined from
// hundreds of pages.
class PageAppender {
 public:
  PageAppender() {
    std::array<std::uint32_t, 32> images;
    for (std::size_t bit = 0; bit < 32; ++bit) {
      images[bit] = crc32c_combine(std::uint32_t{1} << bit, 0, kPageSize);
    }
    for (std::size_t byte = 0; byte < 4; ++byte) {
      for (std::size_t value = 0; value < 256; ++value) {
        std::uint32_t image = 0;
        for (std::size_t bit = 0; bit < 8; ++bit) {
          if ((value >> bit & 1) != 0) image ^= images[byte * 8 + bit];
        }
        tables_[byte][value] = image;
      }
    }
  }
  std::uint32_t append(std::uint32_t crc_a, std::uint32_t crc_page) const {
    return tables_[0][crc_a & 0xff] ^ tables_[1][crc_a >> 8 & 0xff] ^
           tables_[2][crc_a >> 16 & 0xff] ^ tables_[3][crc_a >> 24] ^ crc_page;
  }

 private:
  std::array<std::array<std::uint32_t, 256>, 4> tables_;
};

const PageAppender& page_appender() {
  static const PageAppender appender;
  return appender;
}

std::size_t page_count(std::uint64_t bytes) { return (bytes + kPageSize - 1) / kPageSize; }

bool shareable(const Buffer& piece) {
  return piece.page_aligned() && piece.size() % kPageSize == 0;
}

// The state of encode_row for one data column.
struct ColumnDraft {
  std::byte* bytes = nullptr;  // null when shared
  std::uint32_t piece_count = 0;
  std::uint32_t filled = 0;        // bytes copied or zeroed so far
  std::uint32_t pages_summed = 0;  // page_crcs[0 .. pages_summed) are right
};

// Gives the CRCs of pages that several pieces share: everything from what is summed already up to
// `until`.
void sum_pages(EncodedRow::Column& column, ColumnDraft& draft, std::uint32_t until) {
  const std::byte* const base = column.payload.front().data();
  for (; draft.pages_summed < until; ++draft.pages_summed) {
    const std::size_t at = draft.pages_summed * kPageSize;
    const std::size_t length = std::min(kPageSize, column.payload.front().size() - at);
    column.page_crcs[draft.pages_summed] = crc32c({base + at, length});
  }
}

// Puts a piece into its column and returns its CRC. Pages it covers alone are summed once, for page
// and piece together.
std::uint32_t put_piece(EncodedRow::Column& column, ColumnDraft& draft, const PiecePlace& place,
                        const Buffer& piece) {
  if (draft.bytes != nullptr) {
    if (place.offset > draft.filled) {
      std::memset(draft.bytes + draft.filled, 0, place.offset - draft.filled);
    }
    std::memcpy(draft.bytes + place.offset, piece.data(), place.length);
    draft.filled = place.offset + place.length;
  }
  const std::byte* const bytes = column.payload.front().data() + place.offset;
  if (place.offset % kPageSize != 0 || place.length < kPageSize) {
    return crc32c({bytes, place.length});
  }
  const auto first_page = static_cast<std::uint32_t>(place.offset / kPageSize);
  sum_pages(column, draft, first_page);
  const auto full_pages = static_cast<std::uint32_t>(place.length / kPageSize);
  std::uint32_t crc = 0;
  for (std::uint32_t page = 0; page < full_pages; ++page) {
    const std::uint32_t page_crc = crc32c({bytes + page * kPageSize, kPageSize});
    column.page_crcs[first_page + page] = page_crc;
    crc = page == 0 ? page_crc : page_appender().append(crc, page_crc);
  }
  draft.pages_summed = first_page + full_pages;
  const std::size_t done = full_pages * kPageSize;
  return done == place.length ? crc : crc32c({bytes + done, place.length - done}, crc);
}

// One buffer for all columns that are not shared: page-aligned, padding zeroed, because the encoder
// and the drive see whole pages.
void allocate_columns(const RowShape& shape, std::span<ColumnDraft> drafts, BufferPool& pool,
                      EncodedRow* row) {
  std::size_t total = 0;
  for (std::size_t c = 0; c < shape.code.k; ++c) {
    if (shape.heights[c] > 0 && row->columns[c].payload.empty()) {
      total += round_up(shape.heights[c], kPageSize);
    }
  }
  Buffer assembled = pool.get(total);
  std::size_t at = 0;
  for (std::size_t c = 0; c < shape.code.k; ++c) {
    const std::uint32_t height = shape.heights[c];
    if (height == 0) continue;
    row->columns[c].page_crcs.resize(page_count(height));
    if (!row->columns[c].payload.empty()) continue;
    const std::size_t room = round_up(height, kPageSize);
    drafts[c].bytes = assembled.mutable_data() + at;
    std::memset(drafts[c].bytes + height, 0, room - height);
    row->columns[c].payload.push_back(assembled.slice(at, height));
    at += room;
  }
}

// Parity is encoded in stretches between the heights of the columns, so that short columns need no
// zeros in memory.
void encode_parity(const ErasureCode& code, BufferPool& pool, EncodedRow* row) {
  const CodeShape& shape = code.shape();
  if (shape.m == 0) return;
  const std::uint32_t height = row->shape.parity_height();
  const std::size_t room = round_up(height, kPageSize);
  Buffer parity = pool.get(room * shape.m);
  std::vector<std::uint32_t> ends;
  for (std::size_t c = 0; c < shape.k; ++c) {
    const auto end = static_cast<std::uint32_t>(round_up(row->shape.heights[c], kPageSize));
    if (end > 0) ends.push_back(end);
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  std::uint32_t from = 0;
  for (const std::uint32_t end : ends) {
    std::array<const std::byte*, kMaxDataColumns> data{};
    std::array<std::byte*, kMaxParityColumns> out{};
    for (std::size_t c = 0; c < shape.k; ++c) {
      if (row->shape.heights[c] > from) data[c] = row->columns[c].payload.front().data() + from;
    }
    for (std::size_t p = 0; p < shape.m; ++p) out[p] = parity.mutable_data() + p * room + from;
    code.encode({data.data(), shape.k}, {out.data(), shape.m}, end - from);
    from = end;
  }
  for (std::size_t p = 0; p < shape.m; ++p) {
    EncodedRow::Column& column = row->columns[shape.k + p];
    column.payload.push_back(parity.slice(p * room, height));
    column.page_crcs = page_crc32cs(column.payload.front().span());
  }
}

}  // namespace

RowLayout::RowLayout(const CodeShape& code, std::uint32_t first_column,
                     std::uint32_t max_column_bytes)
    : code_(code), first_column_(first_column), max_column_bytes_(max_column_bytes) {}

bool RowLayout::place(std::uint32_t length) {
  std::size_t best = first_column_ % code_.k;
  for (std::uint32_t i = 1; i < code_.k; ++i) {
    const std::size_t column = (first_column_ + i) % code_.k;
    if (heights_[column] < heights_[best]) best = column;
  }
  std::uint64_t at = heights_[best];
  if (length >= kPageStartBytes) {
    at = round_up(at, kPageSize);
  } else {
    at = round_up(at, kSmallAlignment);
    if (at % kPageSize + length > kPageSize) at = round_up(at, kPageSize);
  }
  if (at + length > max_column_bytes_) return false;
  heights_[best] = static_cast<std::uint32_t>(at + length);
  places_.push_back(
      PiecePlace{static_cast<std::uint8_t>(best), static_cast<std::uint32_t>(at), length});
  return true;
}

RowShape RowLayout::shape() const {
  RowShape shape;
  shape.code = code_;
  shape.heights = heights_;
  return shape;
}

Result<EncodedRow> encode_row(const RowLayout& layout, std::span<const PieceSource> pieces,
                              BufferPool& pool) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const ErasureCode> code, ErasureCode::get(layout.code()));
  CHECK(pieces.size() == layout.places().size());
  EncodedRow row;
  row.shape = layout.shape();
  row.places = layout.places();
  row.columns.resize(static_cast<std::size_t>(layout.code().width()));
  std::array<ColumnDraft, kMaxDataColumns> drafts;
  for (const PiecePlace& place : row.places) ++drafts[place.column].piece_count;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const PiecePlace& place = row.places[i];
    CHECK(pieces[i].bytes->size() == place.length);
    if (drafts[place.column].piece_count == 1 && shareable(*pieces[i].bytes)) {
      row.columns[place.column].payload.push_back(*pieces[i].bytes);
    }
  }
  allocate_columns(row.shape, drafts, pool, &row);

  row.piece_crcs.reserve(pieces.size());
  row.directory.reserve(pieces.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const PiecePlace& place = row.places[i];
    const std::uint32_t crc =
        put_piece(row.columns[place.column], drafts[place.column], place, *pieces[i].bytes);
    row.piece_crcs.push_back(crc);
    row.directory.push_back(RowObject{pieces[i].inode, pieces[i].file_offset, place.column,
                                      place.offset, place.length, crc});
    row.data_bytes += place.length;
  }
  for (std::size_t c = 0; c < layout.code().k; ++c) {
    if (row.shape.heights[c] == 0) continue;
    sum_pages(row.columns[c], drafts[c],
              static_cast<std::uint32_t>(page_count(row.shape.heights[c])));
  }
  encode_parity(*code, pool, &row);
  for (const EncodedRow::Column& column : row.columns) {
    row.fragment_bytes += total_size(column.payload);
  }
  return row;
}

}  // namespace shoal::client
