#include "client/storage_router.h"

#include <gtest/gtest.h>

#include "tests/support/data_path_cluster.h"

namespace shoal::client {
namespace {

using test::make_cluster_map;

TEST(LatencyEstimateTest, UnknownUntilThereAreSamples) {
  LatencyEstimate estimate;
  estimate.add(milliseconds(1));
  EXPECT_EQ(estimate.p99(), Duration(0));
}

TEST(LatencyEstimateTest, QuantilesLieWithinABucketOfTheTruth) {
  LatencyEstimate estimate;
  for (int i = 0; i < 960; ++i)
    estimate.add(microseconds(i % 100 < 93 ? 200 : i % 100 < 98 ? 1000 : 9000));
  EXPECT_GE(estimate.p95(), microseconds(1000));
  EXPECT_LE(estimate.p95(), microseconds(1300));
  EXPECT_GE(estimate.p99(), microseconds(9000));
  EXPECT_LE(estimate.p99(), microseconds(11'500));
}

TEST(LatencyEstimateTest, OldSamplesFade) {
  LatencyEstimate estimate;
  for (int i = 0; i < 1000; ++i) estimate.add(milliseconds(50));
  for (int i = 0; i < 20'000; ++i) estimate.add(microseconds(100));
  EXPECT_LE(estimate.p99(), microseconds(150));
  EXPECT_GT(estimate.mean(), Duration(0));
}

TEST(LatencyEstimateTest, AbsurdLatenciesAreKept) {
  LatencyEstimate estimate;
  for (int i = 0; i < 100; ++i) estimate.add(std::chrono::hours(100));
  for (int i = 0; i < 100; ++i) estimate.add(Duration(-5));
  EXPECT_GT(estimate.p99(), seconds(10));
}

struct RouterTest : testing::Test {
  RouterTest() {
    storage.add_drives(6);
    router.set_map(std::make_shared<const ClusterMap>(make_cluster_map(6, {{4, 2}}, 2)));
  }
  VirtualClock clock;
  ManualExecutor executor{clock};
  test::FakeStorage storage;
  int factory_calls = 0;
  StorageRouter router{executor, [this](const DriveInfo&) -> Result<StorageApi*> {
                         ++factory_calls;
                         return &storage;
                       }};
};

TEST_F(RouterTest, AsksTheFactoryOncePerDriveAndAgainWhenItMoved) {
  ASSERT_TRUE(router.storage(DriveId(1)).ok());
  ASSERT_TRUE(router.storage(DriveId(1)).ok());
  EXPECT_EQ(factory_calls, 1);
  ClusterMap moved = *router.view().map();
  ++moved.epoch;
  moved.drives[1].address = "elsewhere:7001";
  router.set_map(std::make_shared<const ClusterMap>(moved));
  ASSERT_TRUE(router.storage(DriveId(1)).ok());
  EXPECT_EQ(factory_calls, 2);
}

TEST_F(RouterTest, AnUnknownDriveIsNotFound) {
  EXPECT_EQ(router.storage(DriveId(77)).status().code(), StatusCode::kNotFound);
}

TEST_F(RouterTest, AnOlderMapIsIgnored) {
  ClusterMap old = *router.view().map();
  old.epoch = 0;
  old.drives.clear();
  router.set_map(std::make_shared<const ClusterMap>(old));
  EXPECT_EQ(router.view().epoch(), 1u);
}

TEST_F(RouterTest, PenaltiesDoubleUpToTheirBoundAndEnd) {
  const DriveId drive(2);
  router.note_failure(drive, IoKind::kWrite, IoErrorError("broken"));
  EXPECT_TRUE(router.penalised(drive, IoKind::kWrite));
  EXPECT_FALSE(router.good_for_writing(drive));
  router.note_failure(drive, IoKind::kWrite, IoErrorError("one of the same batch"));
  clock.advance(seconds(1));
  EXPECT_FALSE(router.penalised(drive, IoKind::kWrite));
  for (int i = 0; i < 20; ++i) {
    router.note_failure(drive, IoKind::kWrite, UnavailableError("broken"));
    clock.advance(seconds(30));
    EXPECT_FALSE(router.penalised(drive, IoKind::kWrite));
  }
  router.note_failure(drive, IoKind::kWrite, UnavailableError("broken"));
  clock.advance(seconds(29));
  EXPECT_TRUE(router.penalised(drive, IoKind::kWrite));
}

TEST_F(RouterTest, ReadsAndWritesAreJudgedApart) {
  router.note_failure(DriveId(1), IoKind::kRead, IoErrorError("broken"));
  EXPECT_TRUE(router.penalised(DriveId(1), IoKind::kRead));
  EXPECT_TRUE(router.good_for_writing(DriveId(1)));
}

TEST_F(RouterTest, OnlyASuccessBegunAfterTheFailureEndsThePenalty) {
  clock.advance(seconds(5));
  router.note_slow(DriveId(1), IoKind::kRead);
  clock.advance(milliseconds(10));
  router.note_success(DriveId(1), IoKind::kRead, 4096, milliseconds(20));
  EXPECT_TRUE(router.penalised(DriveId(1), IoKind::kRead));
  router.note_success(DriveId(1), IoKind::kRead, 4096, milliseconds(1));
  EXPECT_FALSE(router.penalised(DriveId(1), IoKind::kRead));
}

TEST_F(RouterTest, AFullDriveIsAvoidedForWritingOnly) {
  router.note_failure(DriveId(3), IoKind::kWrite, NoSpaceError("full"));
  EXPECT_TRUE(router.full(DriveId(3)));
  EXPECT_FALSE(router.penalised(DriveId(3), IoKind::kWrite));
  EXPECT_EQ(router.bad_for_writing(), std::vector<DriveId>{DriveId(3)});
  router.note_success(DriveId(3), IoKind::kWrite, 10, microseconds(5));
  EXPECT_TRUE(router.full(DriveId(3))) << "what was sent before it said so proves nothing";
  clock.advance(milliseconds(1));
  router.note_success(DriveId(3), IoKind::kWrite, 10, microseconds(5));
  EXPECT_TRUE(router.good_for_writing(DriveId(3)));
}

TEST_F(RouterTest, FaultsOfTheRequestDoNotBlameTheDrive) {
  router.note_failure(DriveId(3), IoKind::kWrite, FencedError("sealed"));
  router.note_failure(DriveId(3), IoKind::kWrite, CorruptionError("one page"));
  EXPECT_FALSE(router.penalised(DriveId(3), IoKind::kWrite));
}

TEST(PlacementViewTest, KnowsWholeGroupsAndTheirParity) {
  ClusterMap map = make_cluster_map(6, {{4, 2}, {3, 2}, {2, 1}}, 6);
  map.drives[0].state = DriveState::kDown;
  const PlacementView view(std::make_shared<const ClusterMap>(map));
  EXPECT_EQ(view.required_parity(), 2);
  EXPECT_FALSE(view.whole(map.groups[0]));
  // No group of 4+2 on six drives is whole; one of 3+2 and three of 2+1 are.
  EXPECT_EQ(view.whole_group_count(), 4u);
  EXPECT_EQ(view.describe_missing(map.groups[0]), "drive 0 is down");
}

TEST(PlacementViewTest, AMalformedGroupIsNotThere) {
  ClusterMap map = make_cluster_map(6, {{4, 2}}, 1);
  map.groups[0].drives.pop_back();
  const PlacementView view(std::make_shared<const ClusterMap>(map));
  EXPECT_EQ(view.group(PgId(1)), nullptr);
  EXPECT_EQ(PlacementView(nullptr).group(PgId(1)), nullptr);
}

}  // namespace
}  // namespace shoal::client
