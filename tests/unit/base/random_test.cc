#include "base/random.h"

#include <gtest/gtest.h>

#include <array>
#include <set>

namespace shoal {
namespace {

// Source: xoshiro256** seeded by splitmix64, as its authors' code gives it. Simulations replay from
// seeds, so it stays.
TEST(SeededRandom, GoldenSequence) {
  SeededRandom random(0);
  EXPECT_EQ(random.next(), 11'091'344'671'253'066'420U);
  EXPECT_EQ(random.next(), 13'793'997'310'169'335'082U);
  EXPECT_EQ(random.next(), 1'900'383'378'846'508'768U);
  EXPECT_EQ(random.next(), 7'684'712'102'626'143'532U);
}

TEST(SeededRandom, BelowIsUniformAndInRange) {
  SeededRandom random(1);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70'000; ++i) ++counts.at(random.below(counts.size()));
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 500);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(random.below(1), 0U);
  for (int i = 0; i < 100; ++i) EXPECT_LT(random.below(UINT64_MAX), UINT64_MAX);
}

TEST(SecureRandom, UuidsAreOfVersionFourAndDiffer) {
  std::set<std::string> uuids;
  for (int i = 0; i < 100; ++i) {
    const std::string uuid = random_uuid();
    ASSERT_EQ(uuid.size(), 36U);
    EXPECT_EQ(uuid[14], '4');
    EXPECT_NE(std::string("89ab").find(uuid[19]), std::string::npos);
    for (const std::size_t dash : {8U, 13U, 18U, 23U}) EXPECT_EQ(uuid[dash], '-');
    EXPECT_EQ(uuid.find_first_not_of("0123456789abcdef-"), std::string::npos);
    EXPECT_TRUE(uuids.insert(uuid).second);
  }
  EXPECT_NE(secure_random_u64(), secure_random_u64());
}

}  // namespace
}  // namespace shoal
