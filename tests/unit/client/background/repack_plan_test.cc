#include "client/background/repack_plan.h"

#include <gtest/gtest.h>

#include "client/background/limits.h"

namespace shoal::client {
namespace {

Extent piece(std::uint32_t row, std::uint32_t column_offset, std::uint32_t length) {
  Extent extent;
  extent.pack = PackId(7);
  extent.row = row;
  extent.column_offset = column_offset;
  extent.length = extent.stored_length = length;
  extent.crc32c = 1000 + row;
  return extent;
}

// Bytes [from, to) of a stored piece.
Extent cut(Extent whole, std::uint32_t from, std::uint32_t to) {
  whole.file_offset += from;
  whole.column_offset += from;
  whole.stored_offset += from;
  whole.length = to - from;
  return whole;
}

TEST(RepackPlan, APieceThatSeveralShareIsOneRun) {
  std::vector<PackReference> references{{0, piece(1, 4096, 100)},
                                        {1, piece(0, 0, 50)},
                                        {2, piece(1, 4096, 100)}};
  const std::vector<StoredRun> runs = plan_runs(&references);
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].row, 0U);
  EXPECT_EQ(runs[0].reference_count, 1U);
  EXPECT_EQ(runs[1].row, 1U);
  EXPECT_EQ(runs[1].reference_count, 2U);
  EXPECT_EQ(references[runs[1].first_reference].referrer, 0U);
  EXPECT_TRUE(runs[1].whole_piece);
  EXPECT_EQ(runs[1].crc32c, 1001U);
}

TEST(RepackPlan, CutsThatOverlapAreOneRunAndOthersAreNot) {
  const Extent whole = piece(3, 8192, 1000);
  std::vector<PackReference> references{
      {0, cut(whole, 0, 300)}, {1, cut(whole, 200, 400)}, {2, cut(whole, 600, 1000)}};
  const std::vector<StoredRun> runs = plan_runs(&references);
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].column_offset, 8192U);
  EXPECT_EQ(runs[0].length, 400U);
  EXPECT_FALSE(runs[0].whole_piece);
  EXPECT_EQ(runs[0].reference_count, 2U);
  EXPECT_EQ(runs[1].column_offset, 8792U);
  EXPECT_EQ(runs[1].length, 400U);
}

TEST(RepackPlan, CutsThatTogetherCoverTheirPieceAreWhole) {
  const Extent whole = piece(3, 0, 1000);
  std::vector<PackReference> references{{0, cut(whole, 0, 700)}, {1, cut(whole, 500, 1000)}};
  const std::vector<StoredRun> runs = plan_runs(&references);
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_TRUE(runs[0].whole_piece);
}

TEST(RepackPlan, AMovedExtentNamesTheSameBytes) {
  const Extent whole = piece(3, 8192, 1000);
  std::vector<PackReference> references{{0, cut(whole, 100, 300)}, {1, cut(whole, 200, 400)}};
  const std::vector<StoredRun> runs = plan_runs(&references);
  ASSERT_EQ(runs.size(), 1U);
  Extent stored = piece(9, 4096, runs[0].length);
  stored.pack = PackId(11);
  const Extent moved = moved_extent(references[1].extent, runs[0], stored);
  EXPECT_EQ(moved.file_offset, 200U);
  EXPECT_EQ(moved.length, 200U);
  EXPECT_EQ(moved.pack, PackId(11));
  EXPECT_EQ(moved.row, 9U);
  EXPECT_EQ(moved.column_offset, 4196U);
  EXPECT_EQ(moved.stored_offset, 100U);
  EXPECT_EQ(moved.stored_length, 300U);
  EXPECT_EQ(moved.crc32c, 1009U);
  // One that is the whole run is whole.
  std::vector<PackReference> alone{{0, cut(whole, 100, 300)}};
  const std::vector<StoredRun> one = plan_runs(&alone);
  EXPECT_TRUE(moved_extent(alone[0].extent, one[0], piece(9, 0, 200)).whole());
}

TEST(RepackPlan, ARowTakesPiecesUntilItsColumnsAreFull) {
  const CodeShape code{4, 2};
  std::vector<PackReference> references;
  for (std::uint32_t i = 0; i < 1500; ++i) references.push_back({i, piece(i, 0, 4096)});
  const std::vector<StoredRun> runs = plan_runs(&references);
  EXPECT_EQ(runs_of_a_row(code, runs, 4096), 1024U);
  EXPECT_EQ(runs_of_a_row(code, runs, 100), 100U);
  const std::uint64_t row = 6 * ((1 << 20) + kFragmentOverheadBytes);
  EXPECT_EQ(raw_bytes_of_row(code, std::span(runs).first(1024)), row);
  // 476 more: 119 pages in each column.
  EXPECT_EQ(raw_bytes_in_rows(code, runs, 4096), row + 6 * (119 * 4096 + kFragmentOverheadBytes));
  EXPECT_EQ(raw_bytes_in_rows(code, {}, 4096), 0U);
}

TEST(RepackPlan, ALonePieceTakesARowOfItsOwn) {
  std::vector<PackReference> references{{0, piece(0, 0, 1 << 20)}};
  const std::vector<StoredRun> runs = plan_runs(&references);
  EXPECT_EQ(raw_bytes_in_rows({4, 2}, runs, 4096), 3 * ((1 << 20) + kFragmentOverheadBytes));
}

}  // namespace
}  // namespace shoal::client
