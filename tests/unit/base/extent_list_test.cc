// Extent lists against a plain array of bytes.
#include "base/extent_list.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "base/random.h"

namespace shoal {
namespace {

// A piece as it was written: whole, at column offset 1000.
Extent piece(std::uint64_t offset, std::uint32_t length, std::uint32_t row) {
  Extent extent;
  extent.file_offset = offset;
  extent.length = length;
  extent.pack = PackId(7);
  extent.row = row;
  extent.column = 1;
  extent.column_offset = 1000;
  extent.stored_length = length;
  extent.crc32c = row * 3 + 1;
  return extent;
}

const DroppedExtent kIgnore = [](const Extent&) {};

TEST(ExtentList, ACutKeepsWhatItsChecksumNeeds) {
  const Extent whole = piece(100, 50, 3);
  EXPECT_TRUE(whole.whole());
  EXPECT_EQ(cut_extent(whole, 0, 1000), whole);
  const Extent part = cut_extent(whole, 110, 130);
  EXPECT_EQ(part.file_offset, 110U);
  EXPECT_EQ(part.length, 20U);
  EXPECT_EQ(part.column_offset, 1010U);
  EXPECT_EQ(part.stored_offset, 10U);
  EXPECT_EQ(part.stored_length, 50U);
  EXPECT_EQ(part.crc32c, whole.crc32c);
  EXPECT_FALSE(part.whole());
  // A cut of a cut is the same as one cut.
  EXPECT_EQ(cut_extent(cut_extent(whole, 105, 140), 110, 130), part);
}

TEST(ExtentList, AnOverwriteInTheMiddleLeavesBothEnds) {
  ExtentList list{piece(0, 100, 1)};
  std::vector<Extent> dropped;
  insert_extent(&list, piece(40, 20, 2), [&](const Extent& e) { dropped.push_back(e); });
  ASSERT_EQ(list.size(), 3U);
  EXPECT_EQ(list[0], cut_extent(piece(0, 100, 1), 0, 40));
  EXPECT_EQ(list[1], piece(40, 20, 2));
  EXPECT_EQ(list[2], cut_extent(piece(0, 100, 1), 60, 100));
  EXPECT_EQ(dropped, (std::vector<Extent>{cut_extent(piece(0, 100, 1), 40, 60)}));
}

TEST(ExtentList, AHoleOfNothingTakesNothing) {
  ExtentList list{piece(0, 10, 1)};
  punch_extents(&list, 5, 5, kIgnore);
  punch_extents(&list, 7, 3, kIgnore);
  punch_extents(&list, 10, 1000, kIgnore);
  EXPECT_EQ(list, ExtentList{piece(0, 10, 1)});
}

TEST(ExtentList, ASliceOfAGapIsEmpty) {
  const ExtentList list{piece(0, 10, 1), piece(20, 10, 2)};
  EXPECT_TRUE(slice_extents(list, 10, 20).empty());
  EXPECT_TRUE(slice_extents(list, 30, 40).empty());
  EXPECT_EQ(slice_extents(list, 9, 21).size(), 2U);
  EXPECT_TRUE(slice_extents({}, 0, 10).empty());
}

// Which byte of which piece stands at a file offset.
struct Origin {
  std::uint32_t row;
  std::uint32_t column_offset;
  bool operator==(const Origin&) const = default;
};
using Model = std::vector<std::optional<Origin>>;

void expect_same(const ExtentList& list, const Model& model, std::uint64_t from) {
  std::uint64_t at = from;
  for (const Extent& extent : list) {
    ASSERT_GE(extent.file_offset, at) << "out of order or overlapping";
    for (; at < extent.file_offset; ++at) ASSERT_FALSE(model[at].has_value()) << at;
    ASSERT_GT(extent.length, 0U);
    // What stays true of a piece however it is cut.
    ASSERT_EQ(extent.column_offset - extent.stored_offset, 1000U);
    ASSERT_LE(extent.stored_offset + extent.length, extent.stored_length);
    ASSERT_EQ(extent.crc32c, extent.row * 3 + 1);
    for (std::uint32_t i = 0; i < extent.length; ++i, ++at)
      ASSERT_EQ(model[at], (Origin{extent.row, extent.column_offset + i})) << at;
  }
}

TEST(ExtentList, RandomOperationsAgreeWithAnArrayOfBytes) {
  constexpr std::uint64_t kFile = 400;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    ExtentList list;
    Model model(kFile);
    std::map<std::uint32_t, std::int64_t> live;  // bytes of each row, kept by reports alone
    const DroppedExtent dropped = [&](const Extent& e) { live[e.row] -= e.length; };
    for (std::uint32_t step = 1; step <= 200; ++step) {
      const std::uint64_t from = random.below(kFile);
      const std::uint64_t to = from + 1 + random.below(std::min<std::uint64_t>(kFile - from, 60));
      if (random.below(4) == 0) {
        punch_extents(&list, from, to, dropped);
        for (std::uint64_t i = from; i < to; ++i) model[i].reset();
      } else {
        insert_extent(&list, piece(from, static_cast<std::uint32_t>(to - from), step), dropped);
        live[step] += static_cast<std::int64_t>(to - from);
        for (std::uint64_t i = from; i < to; ++i)
          model[i] = Origin{step, 1000 + static_cast<std::uint32_t>(i - from)};
      }
      ASSERT_NO_FATAL_FAILURE(expect_same(list, model, 0));
    }
    for (const Extent& extent : list) live[extent.row] -= extent.length;
    for (const auto& [row, bytes] : live) EXPECT_EQ(bytes, 0) << "row " << row;
    // Slices are windows of the model.
    for (int i = 0; i < 50; ++i) {
      const std::uint64_t from = random.below(kFile);
      const std::uint64_t to = from + 1 + random.below(kFile - from);
      Model window = model;
      std::fill(window.begin() + static_cast<std::ptrdiff_t>(to), window.end(), std::nullopt);
      const ExtentList slice = slice_extents(list, from, to);
      ASSERT_NO_FATAL_FAILURE(expect_same(slice, window, from));
      for (std::uint64_t at = slice.empty() ? from : slice.back().file_end(); at < to; ++at)
        ASSERT_FALSE(window[at].has_value());
    }
  }
}

}  // namespace
}  // namespace shoal
