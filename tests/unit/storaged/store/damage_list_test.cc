#include "storaged/store/damage_list.h"

#include <gtest/gtest.h>

namespace shoal::storaged {
namespace {

FragmentKey key(std::uint64_t pack, std::uint32_t row) { return {PackId(pack), row, 0}; }

TEST(DamageListTest, IsReadInPiecesInTheOrderOfKeys) {
  DamageList list;
  for (const std::uint32_t row : {3U, 1U, 2U}) EXPECT_TRUE(list.add(key(7, row), "bad"));
  EXPECT_FALSE(list.add(key(7, 2), "still bad"));
  const auto first = list.list({}, 2);
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(first[0].key, key(7, 1));
  EXPECT_EQ(first[1].what, "bad");
  const auto rest = list.list(first[1].key, 2);
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(rest[0].key, key(7, 3));
}

TEST(DamageListTest, WhatIsRemovedIsGoneAndOthersStay) {
  DamageList list;
  for (const std::uint64_t pack : {1UL, 2UL, 3UL})
    for (const std::uint32_t row : {0U, 9U}) EXPECT_TRUE(list.add(key(pack, row), "bad"));
  list.remove_pack(PackId(2));
  list.remove(key(3, 9));
  ASSERT_EQ(list.size(), 3U);
  EXPECT_EQ(list.list(key(1, 9), 10).at(0).key, key(3, 0));
}

TEST(DamageListTest, AFullListCountsWhatDoesNotFit) {
  DamageList list(2);
  EXPECT_TRUE(list.add(key(1, 0), "bad"));
  EXPECT_TRUE(list.add(key(1, 1), "bad"));
  EXPECT_FALSE(list.add(key(1, 2), "bad"));
  EXPECT_EQ(list.size(), 2U);
  EXPECT_EQ(list.unlisted(), 1U);
  list.remove(key(1, 0));
  EXPECT_TRUE(list.add(key(1, 2), "bad"));
}

}  // namespace
}  // namespace shoal::storaged
