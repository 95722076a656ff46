#include "client/extent_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/shape_cache.h"
#include "tests/support/data_path_cluster.h"

namespace shoal::client {
namespace {

using test::DataPathCluster;
using test::make_cluster_map;
using test::random_bytes;
using testing::HasSubstr;

constexpr CodeShape kCode{4, 2};

struct ExtentReaderTest : testing::Test {
  // One row with the pieces of these sizes.
  void store(const std::vector<std::size_t>& sizes) {
    for (const std::size_t size : sizes) pieces.push_back(random_bytes(cluster.random, size));
    for (auto& extent : cluster.write_all(pieces)) {
      ASSERT_TRUE(extent.ok()) << extent.status().to_string();
      extents.push_back(*extent);
    }
    cluster.storage.reset_counts();
  }
  test::DriveFaults& faults_of(std::size_t piece) {
    return cluster.storage.faults(cluster.drive_of(extents[piece]));
  }
  FragmentKey key_of(std::size_t piece) const {
    return {extents[piece].pack, extents[piece].row, extents[piece].column};
  }
  void expect_readable() {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const auto bytes = cluster.read(extents[i]);
      ASSERT_TRUE(bytes.ok()) << bytes.status().to_string();
      EXPECT_EQ(bytes->view(), pieces[i].view());
    }
  }
  DataPathCluster cluster{make_cluster_map(6, {kCode}, 1)};
  std::vector<Buffer> pieces;
  std::vector<Extent> extents;
};

TEST_F(ExtentReaderTest, AWholePieceIsOneReadOfOneDrive) {
  store({4096, 4096, 5000});
  expect_readable();
  EXPECT_EQ(cluster.storage.read_count(), 3u);
  EXPECT_EQ(cluster.storage.read_bytes(), 4096u + 4096 + 5000);
}

TEST_F(ExtentReaderTest, PartsOfAPieceAreReadAlone) {
  store({100'000, 30});
  for (const auto& [offset, length] : std::vector<std::pair<std::uint32_t, std::uint32_t>>{
           {0, 1}, {99'999, 1}, {4095, 2}, {50'000, 20'000}, {0, 0}, {100'000, 0}}) {
    const auto bytes = cluster.read(extents[0], offset, length);
    ASSERT_TRUE(bytes.ok());
    EXPECT_EQ(bytes->view(), pieces[0].view().substr(offset, length));
  }
}

TEST_F(ExtentReaderTest, BeyondTheExtentIsOutOfRange) {
  store({100});
  EXPECT_EQ(cluster.read(extents[0], 50, 51).status().code(), StatusCode::kOutOfRange);
  EXPECT_EQ(cluster.read(extents[0], 4'000'000'000u, 400'000'000u).status().code(),
            StatusCode::kOutOfRange);
}

TEST_F(ExtentReaderTest, AnExtentThatWasCutReadsWhatIsLeft) {
  store({10'000});
  Extent cut = extents[0];
  cut.file_offset += 3000;
  cut.column_offset += 3000;
  cut.stored_offset += 3000;
  cut.length = 5000;
  const auto bytes = cluster.read(cut);
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(bytes->view(), pieces[0].view().substr(3000, 5000));
}

TEST_F(ExtentReaderTest, AnyTwoDrivesMayBeLost) {
  store({4096, 100, 70'000, 5000, 1, 2, 3, 9000, 2048});
  for (std::uint32_t a = 0; a < 6; ++a) {
    for (std::uint32_t b = a + 1; b < 6; ++b) {
      cluster.storage.faults(DriveId(a)).read_error = IoErrorError("broken");
      cluster.storage.faults(DriveId(b)).read_error = IoErrorError("broken");
      expect_readable();
      cluster.storage.faults(DriveId(a)).read_error = OkStatus();
      cluster.storage.faults(DriveId(b)).read_error = OkStatus();
    }
  }
  EXPECT_GT(cluster.reader->counters().degraded_reads, 0u);
}

TEST_F(ExtentReaderTest, DrivesThatTheMapShowsDownAreNotAsked) {
  store({4096, 4096, 4096, 4096});
  cluster.metadata.set_drive_state(cluster.drive_of(extents[0]), DriveState::kDown);
  faults_of(0).hang_reads = true;
  const MonotonicTime start = cluster.clock.now();
  expect_readable();
  EXPECT_LT(cluster.clock.now() - start, milliseconds(5));
}

TEST_F(ExtentReaderTest, WhatHasMovedSinceTheMapWasMadeIsReadWhereItIsNow) {
  store({4096, 100, 70'000});
  ClusterMap now = *cluster.metadata.cluster_map();
  ClusterMap old = now;
  for (PlacementGroup& group : old.groups)
    std::rotate(group.drives.begin(), group.drives.begin() + 1, group.drives.end());
  old.epoch += 1;
  now.epoch += 2;
  cluster.metadata.next_map = std::make_shared<const ClusterMap>(old);
  ASSERT_TRUE(cluster.executor.run(cluster.metadata.refresh_cluster_map()).ok());
  cluster.metadata.next_map = std::make_shared<const ClusterMap>(now);
  expect_readable();
  EXPECT_EQ(cluster.metadata.cluster_map()->epoch, now.epoch);
}

TEST_F(ExtentReaderTest, WhenNothingElseIsLeftDrivesThatTheMapShowsDownAreAskedAllTheSame) {
  store({4096, 4096, 4096, 4096});
  for (std::uint32_t d = 0; d < 6; ++d)
    cluster.metadata.set_drive_state(DriveId(d), DriveState::kDown);
  expect_readable();
  // Three of them are down indeed, which is one too many.
  for (std::uint32_t d = 0; d < 3; ++d)
    cluster.storage.faults(DriveId(d)).read_error = IoErrorError("broken");
  const auto bytes = cluster.read(extents[0]);
  EXPECT_EQ(bytes.ok(), cluster.drive_of(extents[0]).value() >= 3) << bytes.status().to_string();
}

TEST_F(ExtentReaderTest, ALoneObjectIsRestoredFromOneParityRange) {
  store({4096});
  faults_of(0).read_error = IoErrorError("broken");
  expect_readable();
  EXPECT_EQ(cluster.storage.read_bytes(), 4096u);
  EXPECT_EQ(cluster.storage.read_count(), 2u);
}

TEST_F(ExtentReaderTest, ShorterColumnsCostOnlyWhatTheyHold) {
  store({100'000, 10, 10, 10});
  faults_of(0).read_error = IoErrorError("broken");
  const auto bytes = cluster.read(extents[0], 50'000, 1000);
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(bytes->view(), pieces[0].view().substr(50'000, 1000));
  EXPECT_EQ(cluster.storage.read_bytes(), 1000u);
}

TEST_F(ExtentReaderTest, MoreThanTheCodeCanRestoreIsUnavailableAndNamesWhatIsMissing) {
  store({4096, 4096, 4096, 4096});
  for (const std::uint32_t d : {0u, 1u, 2u})
    cluster.storage.faults(DriveId(d)).read_error = IoErrorError("broken");
  int failed = 0;
  for (const Extent& extent : extents) {
    const auto bytes = cluster.read(extent);
    if (bytes.ok()) continue;
    ++failed;
    EXPECT_EQ(bytes.status().code(), StatusCode::kUnavailable);
    for (const char* name : {"drive 0", "drive 1", "drive 2"})
      EXPECT_THAT(bytes.status().message(), HasSubstr(name));
  }
  EXPECT_EQ(failed, 3);
}

TEST_F(ExtentReaderTest, ABitFlippedOnTheDriveIsDecodedAround) {
  store({9000, 9000, 9000, 9000});
  cluster.storage.flip_bit(cluster.drive_of(extents[1]), key_of(1), 5000);
  expect_readable();
  const auto part = cluster.read(extents[1], 4096, 2000);
  ASSERT_TRUE(part.ok());
  EXPECT_EQ(part->view(), pieces[1].view().substr(4096, 2000));
  EXPECT_EQ(cluster.reader->counters().corrupt_columns, 2u);
}

TEST_F(ExtentReaderTest, CorruptionBeyondRepairIsCorruption) {
  store({4096});
  for (std::uint32_t d = 0; d < 6; ++d) {
    for (const auto& [key, fragment] : std::map(cluster.storage.fragments(DriveId(d)))) {
      cluster.storage.flip_bit(DriveId(d), key, 10);
    }
  }
  EXPECT_EQ(cluster.read(extents[0]).status().code(), StatusCode::kCorruption);
}

TEST_F(ExtentReaderTest, AWrongAnswerThatThePageCheckMissedIsFound) {
  store({4096, 4096, 4096});
  faults_of(0).lie_on_read = true;
  const auto bytes = cluster.read(extents[0]);
  ASSERT_TRUE(bytes.ok()) << bytes.status().to_string();
  EXPECT_EQ(bytes->view(), pieces[0].view());
  EXPECT_EQ(cluster.reader->counters().corrupt_columns, 1u);
}

TEST_F(ExtentReaderTest, AShortAnswerIsAFailureOfThatColumn) {
  store({4096, 4096, 4096});
  faults_of(0).short_reads = true;
  expect_readable();
  EXPECT_EQ(cluster.reader->counters().corrupt_columns, 1u);
}

TEST_F(ExtentReaderTest, ASlowReadIsHedged) {
  store({4096, 4096, 4096, 4096});
  faults_of(2).hang_reads = true;
  const MonotonicTime start = cluster.clock.now();
  const auto bytes = cluster.read(extents[2]);
  ASSERT_TRUE(bytes.ok()) << bytes.status().to_string();
  EXPECT_EQ(bytes->view(), pieces[2].view());
  EXPECT_LT(cluster.clock.now() - start, milliseconds(50));
  EXPECT_EQ(cluster.reader->counters().hedged_reads, 1u);
  EXPECT_EQ(cluster.reader->counters().degraded_reads, 0u);
}

TEST_F(ExtentReaderTest, TheReaderMayGoBeforeTheLoserOfAHedge) {
  store({4096});
  faults_of(0).hang_reads = true;
  ASSERT_TRUE(cluster.read(extents[0]).ok());
  cluster.reader.reset();
  cluster.executor.run_until_idle();
}

TEST_F(ExtentReaderTest, ASlowColumnDuringADecodeIsHedgedToo) {
  store({4096, 4096, 4096, 4096});
  faults_of(0).read_error = IoErrorError("broken");
  faults_of(1).read_delay = seconds(5);
  const MonotonicTime start = cluster.clock.now();
  const auto bytes = cluster.read(extents[0]);
  ASSERT_TRUE(bytes.ok()) << bytes.status().to_string();
  EXPECT_EQ(bytes->view(), pieces[0].view());
  EXPECT_LT(cluster.clock.now() - start, seconds(1));
}

TEST_F(ExtentReaderTest, ASlowReadThatComesBackBeforeTheDecodeWins) {
  store({4096, 4096, 4096, 4096});
  faults_of(0).read_delay = milliseconds(40);
  for (std::uint32_t d = 0; d < 6; ++d) {
    if (DriveId(d) != cluster.drive_of(extents[0]))
      cluster.storage.faults(DriveId(d)).read_delay = milliseconds(500);
  }
  const MonotonicTime start = cluster.clock.now();
  const auto bytes = cluster.read(extents[0]);
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(bytes->view(), pieces[0].view());
  EXPECT_LT(cluster.clock.now() - start, milliseconds(600));
}

TEST_F(ExtentReaderTest, WhenEveryDriveHangsTheReadEndsAtItsDeadline) {
  store({4096, 4096, 4096, 4096});
  for (std::uint32_t d = 0; d < 6; ++d) cluster.storage.faults(DriveId(d)).hang_reads = true;
  const MonotonicTime start = cluster.clock.now();
  EXPECT_FALSE(cluster.read(extents[0]).ok());
  EXPECT_LE(cluster.clock.now() - start, ExtentReaderLimits().read_deadline);
}

TEST_F(ExtentReaderTest, HedgingIsBounded) {
  store({4096});
  for (std::uint32_t d = 0; d < 6; ++d)
    cluster.storage.faults(DriveId(d)).read_delay = milliseconds(100);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(cluster.read(extents[0]).ok());
  EXPECT_LE(cluster.reader->counters().hedged_reads, 21u);
}

TEST_F(ExtentReaderTest, DrivesThatAnswerNobodyAreNotWaitedForWhenTheTokensAreSpent) {
  store({4096, 4096, 4096, 4096});
  for (const std::size_t piece : {0U, 1U}) faults_of(piece).hang_reads = true;
  for (std::size_t i = 0; i < 100; ++i) {
    const MonotonicTime start = cluster.clock.now();
    ASSERT_TRUE(cluster.read(extents[i % 2]).ok());
    EXPECT_LT(cluster.clock.now() - start, milliseconds(1'500)) << "read " << i;
  }
}

TEST_F(ExtentReaderTest, AnUnknownGroupIsUnavailable) {
  Extent extent;
  extent.pack = make_pack_id(PgId(999), 1);
  extent.length = extent.stored_length = 10;
  EXPECT_EQ(cluster.read(extent).status().code(), StatusCode::kUnavailable);
}

TEST_F(ExtentReaderTest, AnImpossibleExtentIsCorruption) {
  store({10});
  Extent extent = extents[0];
  extent.column = 4;  // parity
  EXPECT_EQ(cluster.read(extent).status().code(), StatusCode::kCorruption);
  extent = extents[0];
  extent.column_offset = ~std::uint32_t{0};
  EXPECT_EQ(cluster.read(extent).status().code(), StatusCode::kCorruption);
}

TEST_F(ExtentReaderTest, AGroupLearntByARefreshIsUsed) {
  store({4096});
  ClusterMap map = *cluster.metadata.cluster_map();
  ++map.epoch;
  map.groups.push_back(map.groups[0]);
  map.groups.back().id = PgId(50);
  cluster.metadata.next_map = std::make_shared<const ClusterMap>(map);
  Extent extent = extents[0];
  extent.pack = make_pack_id(PgId(50), 1);
  // Nothing is stored under that pack, but its drives were asked.
  const auto bytes = cluster.read(extent);
  EXPECT_EQ(bytes.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(bytes.status().message(), HasSubstr("no such fragment"));
}

TEST(ExtentReaderBoundTest, BytesInFlightAreBounded) {
  ExtentReaderLimits limits;
  limits.max_bytes_in_flight = 8192;
  DataPathCluster cluster(make_cluster_map(6, {kCode}, 1), {}, limits);
  const auto extent = cluster.write(random_bytes(cluster.random, 4096));
  ASSERT_TRUE(extent.ok());
  for (std::uint32_t d = 0; d < 6; ++d)
    cluster.storage.faults(DriveId(d)).read_delay = milliseconds(1);
  std::vector<Task<Result<Buffer>>> reads;
  for (int i = 0; i < 10; ++i) reads.push_back(cluster.reader->read(*extent, 0, 4096));
  const MonotonicTime start = cluster.clock.now();
  for (const auto& bytes : cluster.executor.run(when_all(std::move(reads))))
    EXPECT_TRUE(bytes.ok());
  EXPECT_EQ(cluster.clock.now() - start, milliseconds(5));
}

TEST(ExtentReaderNoParityTest, AFailureIsHandedOn) {
  DataPathCluster cluster(make_cluster_map(1, {{1, 0}}, 1));
  const Buffer piece = random_bytes(cluster.random, 5000);
  const auto extent = cluster.write(piece);
  ASSERT_TRUE(extent.ok()) << extent.status().to_string();
  EXPECT_EQ(cluster.storage.write_count(), 1u);
  EXPECT_EQ(cluster.read(*extent)->view(), piece.view());
  cluster.storage.faults(DriveId(0)).read_error = IoErrorError("broken");
  EXPECT_EQ(cluster.read(*extent).status().code(), StatusCode::kUnavailable);
}

TEST(ShapeCacheTest, TheLeastRecentlyUsedGoesFirst) {
  ShapeCache cache(2);
  RowShape shape;
  cache.insert(PackId(1), 1, shape);
  cache.insert(PackId(1), 2, shape);
  EXPECT_TRUE(cache.find(PackId(1), 1).has_value());
  cache.insert(PackId(1), 3, shape);
  EXPECT_TRUE(cache.find(PackId(1), 1).has_value());
  EXPECT_FALSE(cache.find(PackId(1), 2).has_value());
  cache.erase(PackId(1), 1);
  EXPECT_EQ(cache.size(), 1u);
}

}  // namespace
}  // namespace shoal::client
