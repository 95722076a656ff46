#include "metad/state/inode_table.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/random.h"

namespace shoal::metad {
namespace {

TEST(InodeTableTest, RandomChangesAgreeWithAMap) {
  SeededRandom random(2);
  InodeTable table;
  std::map<std::uint64_t, std::string> model;
  const std::uint64_t empty_bytes = table.bytes();
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t id =
        random.below(2) == 0 ? 1 + random.below(5000) : UINT64_MAX - random.below(10);
    if (random.below(4) == 0) {
      EXPECT_EQ(table.erase(id), model.erase(id) > 0);
    } else {
      const std::string record(1 + random.below(300), static_cast<char>(random.next()));
      EXPECT_EQ(table.put(id, record), !model.contains(id));
      model[id] = record;
    }
    const auto there = model.find(id);
    ASSERT_EQ(table.find(id), there == model.end() ? "" : there->second);
  }
  EXPECT_EQ(table.size(), model.size());
  std::size_t seen = 0;
  for (std::size_t shard = 0; shard < InodeTable::kShards; ++shard) {
    table.for_each_in_shard(shard, [&](std::uint64_t id, std::string_view record) {
      ++seen;
      EXPECT_EQ(InodeTable::shard_of(id), shard);
      EXPECT_EQ(record, model.at(id));
    });
  }
  EXPECT_EQ(seen, model.size());
  EXPECT_GT(table.bytes(), empty_bytes);
  for (const auto& [id, record] : model) EXPECT_TRUE(table.erase(id));
  EXPECT_EQ(table.size(), 0U);
}

TEST(InodeTableTest, NeighboursSpreadOverTheShards) {
  std::map<std::size_t, int> counts;
  for (std::uint64_t id = 1; id <= 102'400; ++id) ++counts[InodeTable::shard_of(id)];
  EXPECT_EQ(counts.size(), InodeTable::kShards);
  int fullest = 0;
  int emptiest = 1000;
  for (const auto& [shard, count] : counts) {
    fullest = std::max(fullest, count);
    emptiest = std::min(emptiest, count);
  }
  EXPECT_LT(fullest, 160);
  EXPECT_GT(emptiest, 50);
  EXPECT_GT(fullest - emptiest, 20);  // so that their tables do not grow together
}

TEST(InodeTableTest, SmallRecordsCostLittleMoreThanTheirBytes) {
  InodeTable table;
  const std::uint64_t empty_bytes = table.bytes();
  constexpr std::uint64_t kRecords = 100'000;
  for (std::uint64_t id = 1; id <= kRecords; ++id) table.put(id, std::string(43, 'x'));
  EXPECT_LT((table.bytes() - empty_bytes) / kRecords, 43 + 5 + 16 + 21U);
}

}  // namespace
}  // namespace shoal::metad
