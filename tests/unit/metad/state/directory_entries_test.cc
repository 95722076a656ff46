#include "metad/state/directory_entries.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"

namespace shoal::metad {
namespace {

using Model = std::map<std::string, std::uint64_t>;

void expect_same(const DirectoryEntries& entries, const Model& model) {
  ASSERT_EQ(entries.size(), model.size());
  auto at = entries.begin();
  for (const auto& [key, inode] : model) {
    ASSERT_TRUE(at != entries.end());
    ASSERT_EQ(at->key, key);
    ASSERT_EQ(at->inode, inode);
    ++at;
  }
  EXPECT_TRUE(at == entries.end());
}

void expect_same_from(const DirectoryEntries& entries, const Model& model, const std::string& key) {
  const auto expect = [&](auto found, auto wanted) {
    ASSERT_EQ(found == entries.end(), wanted == model.end());
    if (wanted != model.end()) {
      EXPECT_EQ(found->key, wanted->first);
    }
  };
  expect(entries.lower_bound(key), model.lower_bound(key));
  expect(entries.upper_bound(key), model.upper_bound(key));
  const auto there = model.find(key);
  EXPECT_EQ(entries.find(key), there == model.end() ? 0 : there->second);
}

TEST(DirectoryEntriesTest, RandomChangesAgreeWithAnOrderedMap) {
  SeededRandom random(11);
  for (int round = 0; round < 8; ++round) {
    DirectoryEntries entries;
    Model model;
    for (int i = 0; i < 4000; ++i) {
      // Keys of any bytes and length, many of them near each other.
      std::string key(random.below(4), 'a');
      const std::uint64_t length = random.below(50) == 0 ? random.below(1100) : random.below(12);
      for (std::uint64_t n = 0; n < length; ++n) key.push_back(static_cast<char>(random.next()));
      key.push_back(random.below(2) == 0 ? '\0' : '/');
      if (random.below(3) == 0 && !model.empty()) {
        const auto near = model.lower_bound(key);
        if (near != model.end()) key = near->first;
        EXPECT_EQ(entries.erase(key), model.erase(key) > 0);
      } else {
        const std::uint64_t inode = 1 + random.below(round % 2 == 0 ? 1000 : UINT64_MAX - 1);
        entries.set(key, inode);
        model[key] = inode;
      }
      if (i % 16 == 0) expect_same_from(entries, model, key);
    }
    expect_same(entries, model);
    for (const auto& [key, inode] : Model(model)) {
      ASSERT_TRUE(entries.erase(key));
      model.erase(key);
      if (model.size() % 100 == 0) expect_same(entries, model);
    }
    EXPECT_TRUE(entries.empty());
    EXPECT_TRUE(entries.begin() == entries.end());
    EXPECT_EQ(entries.bytes(), 0U);
  }
}

TEST(DirectoryEntriesTest, TheLongestKeysFit) {
  DirectoryEntries entries;
  Model model;
  for (char c = 'a'; c < 'z'; ++c) {
    std::string key(DirectoryEntries::kMaxKeyBytes, c);
    entries.set(key, UINT64_MAX);
    model[key] = UINT64_MAX;
    entries.set(std::string(1, c), 1);
    model[std::string(1, c)] = 1;
  }
  expect_same(entries, model);
}

TEST(DirectoryEntriesTest, AKeyGetsAnotherInodeOfAnotherLength) {
  DirectoryEntries entries;
  for (int i = 0; i < 100; ++i) entries.set("name-" + std::to_string(i), 1);
  for (int i = 0; i < 100; ++i) entries.set("name-" + std::to_string(i), UINT64_MAX);
  EXPECT_EQ(entries.size(), 100U);
  EXPECT_EQ(entries.find("name-77"), UINT64_MAX);
}

TEST(DirectoryEntriesTest, NamesThatComeInOrderLeaveFullLeavesAndRandomOnesCostLittleMore) {
  constexpr int kNames = 20'000;
  DirectoryEntries ordered;
  DirectoryEntries mixed;
  SeededRandom random(5);
  for (int i = 0; i < kNames; ++i) {
    char name[22];
    std::snprintf(name, sizeof name, "%020d", i);
    ordered.set(std::string_view(name, 21), 1'000'000 + static_cast<std::uint64_t>(i));
    std::snprintf(name, sizeof name, "%020llu",
                  static_cast<unsigned long long>(random.next() >> 1));
    mixed.set(std::string_view(name, 21), 1'000'000 + static_cast<std::uint64_t>(i));
  }
  // A key of 21 bytes, its length and an inode of 3 bytes are 25.
  EXPECT_LT(ordered.bytes() / kNames, 30U);
  EXPECT_LT(mixed.bytes() / kNames, 32U);
}

}  // namespace
}  // namespace shoal::metad
