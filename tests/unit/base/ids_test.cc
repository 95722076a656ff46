#include "base/ids.h"

#include <absl/hash/hash_testing.h>
#include <gtest/gtest.h>

#include <type_traits>
#include <unordered_set>

namespace shoal {
namespace {

static_assert(!std::is_convertible_v<std::uint64_t, InodeId>);
static_assert(!std::is_convertible_v<InodeId, std::uint64_t>);
static_assert(!std::is_constructible_v<InodeId, PackId>);
static_assert(!std::is_assignable_v<DriveId&, NodeId>);
static_assert(sizeof(DriveId) == 4 && sizeof(PackId) == 8);
static_assert(kRootInode.value() == 1 && InodeId().value() == 0);

TEST(Ids, CompareAndPrintAsTheirNumbers) {
  EXPECT_LT(DriveId(2), DriveId(10));
  EXPECT_EQ(DriveId(2), DriveId(2));
  EXPECT_NE(DriveId(2), DriveId(3));
  EXPECT_EQ(SessionId(UINT64_MAX).to_string(), "18446744073709551615");
}

TEST(Ids, HashByTheirNumbers) {
  const std::unordered_set<PackId> packs{PackId(1), PackId(2), PackId(1)};
  EXPECT_EQ(packs.size(), 2U);
  EXPECT_TRUE(
      absl::VerifyTypeImplementsAbslHashCorrectly({PackId(0), PackId(1), PackId(1ULL << 40)}));
}

TEST(Ids, APackCarriesItsPlacementGroup) {
  constexpr std::uint64_t kLastSequence = (1ULL << kPackSequenceBits) - 1;
  for (const std::uint32_t pg : {0U, 1U, 77U, (1U << 24) - 1}) {
    for (const std::uint64_t sequence : {std::uint64_t{0}, std::uint64_t{1}, kLastSequence}) {
      const PackId pack = make_pack_id(PgId(pg), sequence);
      EXPECT_EQ(pg_of_pack(pack), PgId(pg));
      EXPECT_EQ(pack.value() & kLastSequence, sequence);
    }
  }
  // In extents on every drive: never to be changed.
  EXPECT_EQ(make_pack_id(PgId(3), 5).value(), 0x0000030000000005U);
}

}  // namespace
}  // namespace shoal
