#include "client/row_builder.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/erasure_code.h"
#include "base/random.h"
#include "tests/support/data_path_cluster.h"

namespace shoal::client {
namespace {

using test::random_bytes;

constexpr CodeShape kCode{4, 2};

TEST(RowLayoutTest, ALonePieceGoesToTheFirstColumn) {
  RowLayout layout(kCode, 6);
  ASSERT_TRUE(layout.place(4096));
  EXPECT_EQ(layout.places()[0].column, 2);
  EXPECT_EQ(layout.shape().fragment_count(), 3);
}

TEST(RowLayoutTest, EqualPiecesSpreadOverAllColumns) {
  RowLayout layout(kCode, 1);
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(layout.place(4096));
  const RowShape shape = layout.shape();
  for (std::size_t c = 0; c < 4; ++c) EXPECT_EQ(shape.heights[c], 8192u);
  EXPECT_EQ(layout.places()[0].column, 1);
  EXPECT_EQ(layout.places()[4].column, 1);
}

TEST(RowLayoutTest, PiecesOfHalfAPageStartOnAPage) {
  RowLayout layout(CodeShape{1, 1}, 0);
  ASSERT_TRUE(layout.place(10));
  ASSERT_TRUE(layout.place(2048));
  ASSERT_TRUE(layout.place(5000));
  EXPECT_EQ(layout.places()[1].offset, 4096u);
  EXPECT_EQ(layout.places()[2].offset, 8192u);
}

TEST(RowLayoutTest, SmallPiecesShareAPageAndDoNotCrossIt) {
  RowLayout layout(CodeShape{1, 1}, 0);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(layout.place(1501));
  EXPECT_EQ(layout.places()[0].offset, 0u);
  EXPECT_EQ(layout.places()[1].offset, 1504u);
  EXPECT_EQ(layout.places()[2].offset, 4096u);
}

TEST(RowLayoutTest, AFullRowTakesNoMore) {
  RowLayout layout(CodeShape{2, 1}, 0);
  ASSERT_TRUE(layout.place(kMaxColumnBytes));
  ASSERT_TRUE(layout.place(kMaxColumnBytes));
  EXPECT_FALSE(layout.place(1));
  EXPECT_EQ(layout.places().size(), 2u);
}

struct EncodeTest : testing::Test {
  EncodedRow encode(const CodeShape& code, const std::vector<std::size_t>& sizes) {
    RowLayout layout(code, 0);
    std::vector<PieceSource> sources;
    for (const std::size_t size : sizes) pieces.push_back(random_bytes(random, size));
    for (const Buffer& piece : pieces) {
      EXPECT_TRUE(layout.place(static_cast<std::uint32_t>(piece.size())));
      sources.push_back({&piece, InodeId(7), 100});
    }
    auto row = encode_row(layout, sources, *pool);
    EXPECT_TRUE(row.ok());
    return std::move(*row);
  }

  // Every place holds its piece, every CRC is right, and parity restores each data column.
  void expect_consistent(const EncodedRow& row) {
    const CodeShape code = row.shape.code;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const PiecePlace& place = row.places[i];
      const Buffer& column = row.columns[place.column].payload.front();
      EXPECT_EQ(column.slice(place.offset, place.length).view(), pieces[i].view());
      EXPECT_EQ(row.piece_crcs[i], crc32c(pieces[i].span()));
      EXPECT_EQ(row.directory[i].crc32c, row.piece_crcs[i]);
      EXPECT_EQ(row.directory[i].column_offset, place.offset);
    }
    std::vector<Buffer> columns;
    for (int c = 0; c < code.width(); ++c) {
      const auto& column = row.columns[static_cast<std::size_t>(c)];
      Buffer padded = Buffer::zeros(row.shape.parity_height());
      EXPECT_EQ(total_size(column.payload), row.shape.height(c));
      if (!column.payload.empty()) {
        EXPECT_TRUE(column.payload.front().page_aligned());
        EXPECT_EQ(column.page_crcs, page_crc32cs(column.payload.front().span()));
        std::copy_n(column.payload.front().data(), column.payload.front().size(),
                    padded.mutable_data());
      }
      columns.push_back(padded);
    }
    const auto erasure = *ErasureCode::get(code);
    for (int lost = 0; lost < code.k; ++lost) {
      std::vector<const std::byte*> have;
      for (int c = 0; c < code.width(); ++c) {
        have.push_back(c == lost ? nullptr : columns[static_cast<std::size_t>(c)].data());
      }
      Buffer out = Buffer::zeros(row.shape.parity_height());
      std::byte* const target = out.mutable_data();
      ASSERT_TRUE(erasure->reconstruct(have, 0, {&lost, 1}, {&target, 1}, out.size()).ok());
      EXPECT_EQ(out.view(), columns[static_cast<std::size_t>(lost)].view());
    }
  }

  SeededRandom random{3};
  std::shared_ptr<BufferPool> pool = BufferPool::create(1 << 20);
  std::vector<Buffer> pieces;
};

TEST_F(EncodeTest, LonePieceOfAPageIsShared) {
  const EncodedRow row = encode(kCode, {4096});
  EXPECT_EQ(row.columns[0].payload.front().data(), pieces[0].data());
  expect_consistent(row);
}

TEST_F(EncodeTest, OddSizesAreCopiedAndPadded) {
  const EncodedRow row = encode(kCode, {5000, 1, 4095, 4097, 10, 100'001});
  EXPECT_NE(row.columns[0].payload.front().data(), pieces[0].data());
  expect_consistent(row);
}

TEST_F(EncodeTest, SmallPiecesBehindPagesShareTheLastPage) {
  expect_consistent(
      encode(CodeShape{1, 2}, {5000, 20, 30, 9000, 1, 2, 4096, 3, 12'288, 2047, 2047, 2047}));
}

TEST_F(EncodeTest, ColumnsOfVeryDifferentHeights) {
  expect_consistent(encode(kCode, {kMaxColumnBytes, 1, 70'000}));
}

TEST_F(EncodeTest, NoParityNoDirectoryNeeded) {
  const EncodedRow row = encode(CodeShape{1, 0}, {4096, 17});
  EXPECT_EQ(row.columns.size(), 1u);
  EXPECT_EQ(row.columns[0].page_crcs, page_crc32cs(row.columns[0].payload.front().span()));
}

TEST_F(EncodeTest, FullRowSharesEveryPiece) {
  const EncodedRow row = encode(kCode, std::vector<std::size_t>(4, kMaxColumnBytes));
  for (const PiecePlace& place : row.places) {
    EXPECT_EQ(place.offset, 0u);
    EXPECT_EQ(row.columns[place.column].payload.front().data(), pieces[place.column].data());
  }
  expect_consistent(row);
}

}  // namespace
}  // namespace shoal::client
