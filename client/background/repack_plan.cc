#include "client/background/repack_plan.h"

#include <algorithm>
#include <tuple>

#include "base/check.h"
#include "client/background/limits.h"
#include "client/row_builder.h"

namespace shoal::client {
namespace {

// Names the stored piece that an extent is a part of.
auto piece_of(const Extent& extent) {
  return std::tuple(extent.pack, extent.row, extent.column,
                    extent.column_offset - extent.stored_offset, extent.stored_length,
                    extent.crc32c);
}

bool before(const PackReference& a, const PackReference& b) {
  const auto piece_a = piece_of(a.extent);
  const auto piece_b = piece_of(b.extent);
  if (piece_a != piece_b) return piece_a < piece_b;
  if (a.extent.column_offset != b.extent.column_offset)
    return a.extent.column_offset < b.extent.column_offset;
  return a.referrer < b.referrer;
}

bool continues(const StoredRun& run, const Extent& last, const Extent& next) {
  return piece_of(last) == piece_of(next) && next.column_offset < run.column_end();
}

StoredRun begin_run(const Extent& extent, std::size_t at) {
  StoredRun run;
  run.pack = extent.pack;
  run.row = extent.row;
  run.column = extent.column;
  run.column_offset = extent.column_offset;
  run.length = extent.length;
  run.first_reference = at;
  return run;
}

}  // namespace

std::vector<StoredRun> plan_runs(std::vector<PackReference>* references) {
  std::sort(references->begin(), references->end(), before);
  std::vector<StoredRun> runs;
  for (std::size_t i = 0; i < references->size(); ++i) {
    const Extent& extent = (*references)[i].extent;
    if (i == 0 || !continues(runs.back(), (*references)[i - 1].extent, extent))
      runs.push_back(begin_run(extent, i));
    StoredRun& run = runs.back();
    const std::uint32_t end = std::max(run.column_end(), extent.column_offset + extent.length);
    run.length = end - run.column_offset;
    run.whole_piece = run.column_offset == extent.column_offset - extent.stored_offset &&
                      run.length == extent.stored_length;
    run.crc32c = extent.crc32c;
    ++run.reference_count;
  }
  return runs;
}

Extent moved_extent(const Extent& reference, const StoredRun& run, const Extent& stored) {
  CHECK(stored.length == run.length && stored.whole());
  CHECK(reference.column_offset >= run.column_offset);
  Extent moved = stored;
  moved.file_offset = reference.file_offset;
  moved.length = reference.length;
  moved.stored_offset = reference.column_offset - run.column_offset;
  moved.column_offset = stored.column_offset + moved.stored_offset;
  moved.stored_length = run.length;
  return moved;
}

std::size_t runs_of_a_row(const CodeShape& code, std::span<const StoredRun> runs,
                          std::size_t max_pieces) {
  RowLayout layout(code, 0);
  std::size_t count = 0;
  while (count < runs.size() && count < max_pieces && layout.place(runs[count].length)) ++count;
  CHECK(count > 0 || runs.empty());
  return count;
}

std::uint64_t raw_bytes_of_row(const CodeShape& code, std::span<const StoredRun> runs) {
  RowLayout layout(code, 0);
  for (const StoredRun& run : runs) CHECK(layout.place(run.length));
  const RowShape shape = layout.shape();
  std::uint64_t bytes = 0;
  for (int column = 0; column < code.width(); ++column) {
    if (shape.height(column) > 0) bytes += shape.height(column) + kFragmentOverheadBytes;
  }
  return bytes;
}

std::uint64_t raw_bytes_in_rows(const CodeShape& code, std::span<const StoredRun> runs,
                                std::size_t max_pieces) {
  std::uint64_t bytes = 0;
  while (!runs.empty()) {
    const std::size_t count = runs_of_a_row(code, runs, max_pieces);
    bytes += raw_bytes_of_row(code, runs.first(count));
    runs = runs.subspan(count);
  }
  return bytes;
}

}  // namespace shoal::client
