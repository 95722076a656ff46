#include "base/row_layout.h"

#include <gtest/gtest.h>

#include <set>

namespace shoal {
namespace {

CodeShape code_of(int k, int m) {
  return {static_cast<std::uint8_t>(k), static_cast<std::uint8_t>(m), MatrixId::kCauchy};
}

RowShape shape_of(int k, int m, std::initializer_list<std::uint32_t> heights) {
  RowShape shape;
  shape.code = code_of(k, m);
  std::copy(heights.begin(), heights.end(), shape.heights.begin());
  return shape;
}

StatusCode code_of_status(const Status& status) { return status.code(); }

TEST(CodeShape, EveryShapeInTheRangeIsReadAsItIsShown) {
  for (int k = 1; k <= kMaxDataColumns; ++k) {
    for (int m = 0; m <= kMaxParityColumns; ++m) {
      EXPECT_TRUE(validate(code_of(k, m)).ok());
      const auto parsed = parse_code(to_string(code_of(k, m)));
      ASSERT_TRUE(parsed.ok()) << parsed.status().to_string();
      EXPECT_EQ(*parsed, code_of(k, m));
      EXPECT_EQ(parsed->width(), k + m);
    }
  }
}

TEST(CodeShape, OtherTextIsRefusedByName) {
  for (const std::string_view text :
       {"", "+", "4", "4+", "+2", "4+2 ", " 4+2", "4-2", "4+2+1", "-4+2", "4+-2", "0+1", "17+1",
        "4+5", "256+1", "4+256", "4x2", "four+two", "99999999999999999999+1"}) {
    const auto parsed = parse_code(text);
    ASSERT_EQ(parsed.status().code(), StatusCode::kInvalidArgument) << text;
    EXPECT_FALSE(parsed.status().message().empty());
  }
  EXPECT_NE(parse_code("4x2").status().message().find("4x2"), std::string::npos);
  EXPECT_NE(parse_code("17+1").status().message().find("17+1"), std::string::npos);
}

TEST(RowShape, ParityIsAsHighAsTheHighestDataColumn) {
  const RowShape shape = shape_of(4, 2, {100, 0, 4096, 7});
  EXPECT_EQ(shape.parity_height(), 4096U);
  EXPECT_EQ(shape.height(0), 100U);
  EXPECT_EQ(shape.height(1), 0U);
  EXPECT_EQ(shape.height(4), 4096U);
  EXPECT_EQ(shape.height(5), 4096U);
  EXPECT_EQ(shape.fragment_count(), 5);  // an empty data column has no fragment
  EXPECT_TRUE(validate(shape).ok());
}

TEST(RowShape, ARowOfOneObjectHasOneDataFragment) {
  EXPECT_EQ(shape_of(8, 3, {0, 0, 5}).fragment_count(), 4);
  EXPECT_EQ(shape_of(1, 0, {1}).fragment_count(), 1);
}

TEST(RowShape, ImpossibleShapesAreRefused) {
  constexpr auto kRefused = StatusCode::kInvalidArgument;
  EXPECT_EQ(code_of_status(validate(shape_of(2, 1, {0, 0}))), kRefused);
  EXPECT_EQ(code_of_status(validate(shape_of(2, 1, {1, 2, 3}))), kRefused);
  EXPECT_EQ(code_of_status(validate(shape_of(2, 1, {kMaxColumnBytes + 1, 0}))), kRefused);
  EXPECT_EQ(code_of_status(validate(shape_of(0, 1, {1}))), kRefused);
  EXPECT_EQ(code_of_status(validate(shape_of(4, 5, {1}))), kRefused);
  EXPECT_TRUE(validate(shape_of(2, 1, {kMaxColumnBytes, 0})).ok());
}

TEST(FragmentKey, OrderIsPackThenRowThenColumn) {
  const std::set<FragmentKey> keys{{PackId(2), 0, 0},
                                   {PackId(1), 1, 0},
                                   {PackId(1), 0, 2},
                                   {PackId(1), 0, 1},
                                   {PackId(1), 0, 2}};
  const std::vector<FragmentKey> order(keys.begin(), keys.end());
  EXPECT_EQ(order,
            (std::vector<FragmentKey>{
                {PackId(1), 0, 1}, {PackId(1), 0, 2}, {PackId(1), 1, 0}, {PackId(2), 0, 0}}));
}

}  // namespace
}  // namespace shoal
