#include "client/pack_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/crc32c.h"
#include "client/pack_pool.h"
#include "tests/support/data_path_cluster.h"

namespace shoal::client {
namespace {

using test::DataPathCluster;
using test::make_cluster_map;
using test::random_bytes;
using testing::HasSubstr;

constexpr CodeShape kCode{4, 2};
constexpr std::uint32_t kPiece = 4096;

std::vector<Buffer> pieces_of(Random& random, std::size_t count, std::size_t size) {
  std::vector<Buffer> pieces;
  for (std::size_t i = 0; i < count; ++i) pieces.push_back(random_bytes(random, size));
  return pieces;
}

// What each extent says must be what the drives hold.
void expect_stored(DataPathCluster& cluster, const std::vector<Buffer>& pieces,
                   const std::vector<Result<Extent>>& extents) {
  ASSERT_EQ(pieces.size(), extents.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    ASSERT_TRUE(extents[i].ok()) << extents[i].status().to_string();
    const Extent& extent = *extents[i];
    EXPECT_EQ(extent.crc32c, crc32c(pieces[i].span()));
    EXPECT_TRUE(extent.whole());
    const auto bytes = cluster.read(extent);
    ASSERT_TRUE(bytes.ok()) << bytes.status().to_string();
    EXPECT_EQ(bytes->view(), pieces[i].view());
  }
}

// One after the other; where they are.
std::map<PackId, std::vector<Extent>> write_pieces(DataPathCluster& cluster, int count) {
  std::map<PackId, std::vector<Extent>> by_pack;
  for (int i = 0; i < count; ++i) {
    const auto extent = cluster.write(random_bytes(cluster.random, kPiece));
    EXPECT_TRUE(extent.ok()) << extent.status().to_string();
    if (extent.ok()) by_pack[extent->pack].push_back(*extent);
  }
  return by_pack;
}

std::set<std::pair<PackId, std::uint32_t>> rows_of(const std::vector<Result<Extent>>& extents) {
  std::set<std::pair<PackId, std::uint32_t>> rows;
  for (const auto& extent : extents) rows.emplace(extent->pack, extent->row);
  return rows;
}

TEST(PackWriterTest, ALonePieceCostsOneDataFragmentAndTheParity) {
  DataPathCluster cluster(make_cluster_map(8, {kCode}, 8));
  const Buffer piece = random_bytes(cluster.random, kPiece);
  const auto extent = cluster.write(piece);
  ASSERT_TRUE(extent.ok()) << extent.status().to_string();
  EXPECT_EQ(cluster.storage.write_count(), 3u);
  EXPECT_EQ(extent->column_offset, 0u);
  expect_stored(cluster, {piece}, {extent});
}

TEST(PackWriterTest, LonePiecesTakeTurnsAmongColumnsAndGroups) {
  DataPathCluster cluster(make_cluster_map(8, {kCode}, 8));
  std::set<std::uint8_t> columns;
  std::set<PgId> groups;
  for (int i = 0; i < 16; ++i) {
    const auto extent = cluster.write(random_bytes(cluster.random, kPiece));
    ASSERT_TRUE(extent.ok());
    columns.insert(extent->column);
    groups.insert(pg_of_pack(extent->pack));
  }
  EXPECT_EQ(columns.size(), 4u);
  EXPECT_EQ(groups.size(), 8u);
}

TEST(PackWriterTest, EightAtOnceBecomeOneRow) {
  DataPathCluster cluster(make_cluster_map(8, {kCode}, 8));
  const auto pieces = pieces_of(cluster.random, 8, kPiece);
  const auto extents = cluster.write_all(pieces);
  expect_stored(cluster, pieces, extents);
  EXPECT_EQ(rows_of(extents).size(), 1u);
  EXPECT_EQ(cluster.storage.write_count(), 6u);
  EXPECT_EQ(cluster.writer->counters().pieces, 8u);
}

TEST(PackWriterTest, ManyAtOnceBecomeFewTallRows) {
  DataPathCluster cluster(make_cluster_map(8, {kCode}, 8));
  for (const std::size_t count : {64u, 500u}) {
    const auto pieces = pieces_of(cluster.random, count, kPiece);
    const auto extents = cluster.write_all(pieces);
    expect_stored(cluster, pieces, extents);
    EXPECT_EQ(rows_of(extents).size(), 1u);
    std::map<std::uint8_t, std::uint64_t> filled;
    for (const auto& extent : extents) filled[extent->column] += extent->length;
    EXPECT_EQ(filled.size(), 4u);
    for (const auto& [column, bytes] : filled) EXPECT_EQ(bytes, count / 4 * kPiece);
  }
}

Task<void> keep_writing(DataPathCluster* cluster, int count) {
  for (int i = 0; i < count; ++i) {
    const auto extent = co_await cluster->writer->write(random_bytes(cluster->random, kPiece), {});
    EXPECT_TRUE(extent.ok());
  }
}

Task<void> many_writers(DataPathCluster* cluster, int writers, int count) {
  TaskScope scope;
  for (int i = 0; i < writers; ++i) scope.spawn(keep_writing(cluster, count));
  co_await scope.join();
}

TEST(PackWriterTest, WhatArrivesWhileRowsAreInFlightCollects) {
  DataPathCluster cluster(make_cluster_map(8, {kCode}, 8));
  for (std::uint32_t d = 0; d < 8; ++d)
    cluster.storage.faults(DriveId(d)).write_delay = milliseconds(1);
  cluster.executor.run(many_writers(&cluster, 64, 20));
  const auto counters = cluster.writer->counters();
  EXPECT_EQ(counters.pieces, 64u * 20);
  // Two rows in flight share the writers; a row for each piece would be 1280.
  EXPECT_LE(counters.rows, 80u);
  EXPECT_EQ(counters.rows_rewritten, 0u);
}

// A drive commits one batch at a time: what would only wait there collects at the writer.
TEST(PackWriterTest, SmallRowsGoSideBySideOnlyToDifferentDrives) {
  for (const std::uint32_t groups_apart : {1u, 2u}) {
    DataPathCluster cluster(make_cluster_map(6 * groups_apart, {kCode}, 6 * groups_apart));
    for (std::uint32_t d = 0; d < 6 * groups_apart; ++d)
      cluster.storage.faults(DriveId(d)).write_delay = milliseconds(1);
    // Two crowds, half a row apart.
    cluster.executor.post([&] { spawn(many_writers(&cluster, 32, 20)); });
    cluster.executor.run_until_idle(cluster.clock.now() + microseconds(500));
    cluster.executor.run(many_writers(&cluster, 32, 20));
    EXPECT_EQ(cluster.writer->counters().pieces, 64u * 20);
    EXPECT_EQ(cluster.writer->counters().rows, groups_apart == 1 ? 21u : 40u);
  }
}

Task<void> write_in_background(DataPathCluster* cluster, std::size_t size, int* left) {
  const auto extent = co_await cluster->writer->write(random_bytes(cluster->random, size), {});
  EXPECT_TRUE(extent.ok());
  --*left;
}

TEST(PackWriterTest, ARowThatTakesLongDoesNotHoldUpTheNext) {
  DataPathCluster cluster(make_cluster_map(6, {kCode}, 1));
  for (std::uint32_t d = 0; d < 6; ++d)
    cluster.storage.faults(DriveId(d)).write_delay = milliseconds(50);
  int left = 3;
  const auto begin = [&] {
    cluster.executor.post([&] { spawn(write_in_background(&cluster, kPiece, &left)); });
    cluster.executor.run_ready();
  };
  begin();
  EXPECT_EQ(cluster.storage.write_count(), 3u);
  cluster.clock.advance(PackWriterLimits().overlap_after / 2);
  begin();
  EXPECT_EQ(cluster.storage.write_count(), 3u);
  cluster.clock.advance(PackWriterLimits().overlap_after);
  begin();
  EXPECT_EQ(cluster.storage.write_count(), 7u) << "two pieces, two columns of parity";
  cluster.executor.run_until_idle();
  EXPECT_EQ(left, 0);
}

TEST(PackWriterTest, ASmallPieceDoesNotWaitForRowsOfAStream) {
  DataPathCluster cluster(make_cluster_map(6, {kCode}, 1));
  for (std::uint32_t d = 0; d < 6; ++d)
    cluster.storage.faults(DriveId(d)).write_delay = milliseconds(50);
  int large = 16;
  int small = 1;
  cluster.executor.post([&] {
    for (int i = 0; i < 16; ++i) spawn(write_in_background(&cluster, kStreamPieceBytes, &large));
  });
  cluster.executor.run_until_idle(cluster.clock.now() + milliseconds(1));
  cluster.executor.post([&] { spawn(write_in_background(&cluster, kPiece, &small)); });
  cluster.executor.run_until_idle(cluster.clock.now() + milliseconds(55));
  EXPECT_EQ(small, 0);
  cluster.executor.run_until_idle();
  EXPECT_EQ(large, 0);
}

TEST(PackWriterTest, AStreamFillsRowsOfWholeColumns) {
  DataPathCluster cluster(make_cluster_map(8, {kCode}, 8));
  for (std::uint32_t d = 0; d < 8; ++d)
    cluster.storage.faults(DriveId(d)).write_delay = milliseconds(1);
  const auto pieces = pieces_of(cluster.random, 12, kMaxColumnBytes);
  const auto extents = cluster.write_all(pieces);
  expect_stored(cluster, pieces, extents);
  EXPECT_EQ(rows_of(extents).size(), 3u);
  EXPECT_EQ(cluster.writer->counters().fragment_bytes, 18u * kMaxColumnBytes);
}

TEST(PackWriterTest, ParityFragmentsCarryTheDirectory) {
  DataPathCluster cluster(make_cluster_map(6, {kCode}, 1));
  const auto extent = cluster.executor.run(
      cluster.writer->write(random_bytes(cluster.random, 5000), {InodeId(9), 77}));
  ASSERT_TRUE(extent.ok());
  EXPECT_EQ(extent->file_offset, 77u);
  for (const std::uint32_t drive : {4u, 5u}) {
    const auto& fragment = cluster.storage.fragments(DriveId(drive)).begin()->second;
    ASSERT_EQ(fragment.directory.size(), 1u);
    EXPECT_EQ(fragment.directory[0].inode, InodeId(9));
    EXPECT_EQ(fragment.directory[0].file_offset, 77u);
    EXPECT_EQ(fragment.directory[0].column, extent->column);
    EXPECT_EQ(fragment.directory[0].length, 5000u);
    EXPECT_EQ(fragment.directory[0].crc32c, extent->crc32c);
  }
  EXPECT_TRUE(
      cluster.storage.fragments(cluster.drive_of(*extent)).begin()->second.directory.empty());
}

TEST(PackWriterTest, AnEmptyOrOversizedPieceIsRefused) {
  DataPathCluster cluster(make_cluster_map(6, {kCode}, 1));
  EXPECT_EQ(cluster.write(Buffer()).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(cluster.write(Buffer::zeros(kMaxColumnBytes + 1)).status().code(),
            StatusCode::kInvalidArgument);
}

TEST(PackWriterTest, AFailedDriveMakesTheRowGoElsewhereWhole) {
  DataPathCluster cluster(make_cluster_map(12, {kCode}, 12));
  cluster.storage.faults(DriveId(3)).write_error = IoErrorError("broken");
  const auto pieces = pieces_of(cluster.random, 40, 10'000);
  for (int round = 0; round < 6; ++round) {
    const auto extents = cluster.write_all(pieces);
    expect_stored(cluster, pieces, extents);
    for (const auto& extent : extents) {
      const auto& drives = cluster.metadata.cluster_map()->group(pg_of_pack(extent->pack))->drives;
      EXPECT_FALSE(contains(drives, DriveId(3)));
    }
  }
  EXPECT_GE(cluster.writer->counters().rows_rewritten, 1u);
  EXPECT_LE(cluster.writer->counters().rows_rewritten, 2u);  // then the drive is known
}

TEST(PackWriterTest, ADriveThatFailsInTheMiddleLosesNothing) {
  DataPathCluster cluster(make_cluster_map(12, {kCode}, 12));
  for (std::uint32_t d = 0; d < 12; ++d)
    cluster.storage.faults(DriveId(d)).write_delay = microseconds(300);
  cluster.storage.faults(DriveId(5)).fail_after_writes = 7;
  cluster.executor.run(many_writers(&cluster, 32, 30));
  EXPECT_EQ(cluster.writer->counters().pieces, 32u * 30);
}

TEST(PackWriterTest, ASlowDriveDoesNotHoldTheRow) {
  DataPathCluster cluster(make_cluster_map(12, {kCode}, 12));
  cluster.storage.faults(DriveId(0)).hang_writes = true;
  const auto pieces = pieces_of(cluster.random, 20, kPiece);
  const MonotonicTime start = cluster.clock.now();
  for (int round = 0; round < 12; ++round)
    expect_stored(cluster, pieces, cluster.write_all(pieces));
  EXPECT_GE(cluster.writer->counters().rows_rewritten, 1u);
  EXPECT_LT(cluster.clock.now() - start, seconds(1));
}

// Its latencies so far would say that it is worth waiting for much longer.
TEST(PackWriterTest, ADriveThatHangsIsNotWaitedForBecauseAllWereSlowBefore) {
  DataPathCluster cluster(make_cluster_map(12, {kCode}, 12));
  // Little by little, so that none seems to be at fault.
  for (const int delay : {80, 250, 900}) {
    for (std::uint32_t d = 0; d < 12; ++d)
      cluster.storage.faults(DriveId(d)).write_delay = milliseconds(delay);
    cluster.executor.run(many_writers(&cluster, 4, 40));
  }
  ASSERT_EQ(cluster.writer->counters().rows_rewritten, 0u);
  cluster.storage.faults(DriveId(0)).hang_writes = true;
  for (int round = 0; round < 12; ++round) {
    const MonotonicTime start = cluster.clock.now();
    ASSERT_TRUE(cluster.write(random_bytes(cluster.random, kPiece)).ok());
    EXPECT_LT(cluster.clock.now() - start, milliseconds(2'500));
  }
  EXPECT_GE(cluster.writer->counters().rows_rewritten, 1u);
}

TEST(PackWriterTest, ASlowRowThatHasNowhereToGoIsLookedAtAgain) {
  DataPathCluster cluster(make_cluster_map(12, {kCode}, 2));
  const auto pieces = pieces_of(cluster.random, 8, kPiece);
  expect_stored(cluster, pieces, cluster.write_all(pieces));
  const auto& groups = cluster.metadata.cluster_map()->groups;
  const DriveId hangs = groups[0].drives.front();
  const DriveId slow = groups[1].drives.back();
  ASSERT_FALSE(contains(groups[1].drives, hangs) || contains(groups[0].drives, slow));
  cluster.router.note_slow(slow, IoKind::kWrite);  // for a second
  cluster.storage.faults(hangs).hang_writes = true;
  const MonotonicTime start = cluster.clock.now();
  const auto extents = cluster.write_all(pieces);
  EXPECT_LT(cluster.clock.now() - start, milliseconds(2'500));
  expect_stored(cluster, pieces, extents);
  EXPECT_EQ(pg_of_pack(extents.front()->pack), groups[1].id);
}

TEST(PackWriterTest, TheLoserOfARewriteMayStillBeUnderWayAtTheEnd) {
  DataPathCluster cluster(make_cluster_map(12, {kCode}, 12));
  cluster.storage.faults(DriveId(0)).hang_writes = true;
  for (int round = 0; round < 12; ++round)
    ASSERT_TRUE(cluster.write(random_bytes(cluster.random, kPiece)).ok());
  ASSERT_GT(cluster.storage.write_calls_in_flight(), 0u);
  EXPECT_TRUE(cluster.close().ok());
  cluster.writer.reset();
  cluster.executor.run_until_idle();
  EXPECT_EQ(cluster.storage.write_calls_in_flight(), 0u);
}

TEST(PackWriterTest, WhenEveryDriveHangsTheWriteEndsAtItsDeadline) {
  DataPathCluster cluster(make_cluster_map(12, {kCode}, 12));
  for (std::uint32_t d = 0; d < 12; ++d) cluster.storage.faults(DriveId(d)).hang_writes = true;
  const MonotonicTime start = cluster.clock.now();
  const auto extent = cluster.write(random_bytes(cluster.random, kPiece));
  EXPECT_FALSE(extent.ok());
  EXPECT_THAT(extent.status().message(), HasSubstr("did not answer"));
  EXPECT_LE(cluster.clock.now() - start, PackWriterLimits().piece_deadline + seconds(1));
}

TEST(PackWriterTest, WhenEverythingIsSlowRowsAreNotDoubledForEver) {
  PackWriterLimits limits;
  limits.slow_rewrite_burst = 20;
  DataPathCluster cluster(make_cluster_map(12, {kCode}, 12), limits);
  for (std::uint32_t d = 0; d < 12; ++d)
    cluster.storage.faults(DriveId(d)).write_delay = milliseconds(300);
  cluster.executor.run(many_writers(&cluster, 4, 20));
  EXPECT_EQ(cluster.writer->counters().pieces, 80u);
  EXPECT_LE(cluster.writer->counters().rows_rewritten, 2u + cluster.writer->counters().rows / 10);
}

TEST(PackWriterTest, WithoutAWholeGroupANarrowerCodeTakesTheRow) {
  DataPathCluster cluster(make_cluster_map(6, {kCode, {3, 2}}, 6));
  auto pieces = pieces_of(cluster.random, 4, kMaxColumnBytes);
  pieces.push_back(random_bytes(cluster.random, 100));
  auto extents = cluster.write_all(pieces);
  expect_stored(cluster, pieces, extents);
  for (const auto& extent : extents) EXPECT_LE(pg_of_pack(extent->pack).value(), 6u);

  cluster.storage.faults(DriveId(2)).write_error = IoErrorError("broken");
  extents = cluster.write_all(pieces);
  expect_stored(cluster, pieces, extents);
  for (const auto& extent : extents) {
    const auto* group = cluster.metadata.cluster_map()->group(pg_of_pack(extent->pack));
    EXPECT_EQ(group->code, (CodeShape{3, 2}));
    EXPECT_FALSE(contains(group->drives, DriveId(2)));
  }
}

TEST(PackWriterTest, AFallBackTakesNoRowWhileAnotherGroupOfItsCodeIsWhole) {
  ClusterMap map = make_cluster_map(8, {kCode}, 3);
  map.groups[1].use = GroupUse::kFallback;
  DataPathCluster cluster(map);
  const auto packs = write_pieces(cluster, 40);
  for (const auto& [pack, extents] : packs) EXPECT_NE(pg_of_pack(pack), map.groups[1].id);
  // Rows over all columns: each of the others has a drive that the fall-back does without.
  cluster.storage.faults(map.groups[0].drives.front()).write_error = IoErrorError("broken");
  cluster.storage.faults(map.groups[2].drives.back()).write_error = IoErrorError("broken");
  for (const auto& extent : cluster.write_all(pieces_of(cluster.random, 8, kPiece))) {
    ASSERT_TRUE(extent.ok()) << extent.status().to_string();
    EXPECT_EQ(pg_of_pack(extent->pack), map.groups[1].id);
  }
}

TEST(PackWriterTest, PacksOnFallBacksAreGivenBackOnceOthersAreWhole) {
  ClusterMap map = make_cluster_map(8, {kCode}, 3);
  map.groups[2].use = GroupUse::kFallback;  // on drives 2 to 7
  DataPathCluster cluster(map);
  cluster.metadata.set_drive_state(DriveId(1), DriveState::kDown);  // of both others
  const auto during = cluster.write(random_bytes(cluster.random, kPiece));
  ASSERT_TRUE(during.ok()) << during.status().to_string();
  EXPECT_EQ(pg_of_pack(during->pack), map.groups[2].id);
  cluster.writer->settled({&*during, 1});
  EXPECT_FALSE(cluster.metadata.closed.contains(during->pack));
  cluster.metadata.set_drive_state(DriveId(1), DriveState::kUp);
  for (const auto& [pack, extents] : write_pieces(cluster, 10))
    EXPECT_NE(pg_of_pack(pack), map.groups[2].id);
  EXPECT_TRUE(cluster.metadata.closed.contains(during->pack));
}

TEST(PackWriterTest, ParityIsNeverReducedSilently) {
  DataPathCluster cluster(make_cluster_map(6, {kCode, {4, 1}}, 6));
  cluster.storage.faults(DriveId(2)).write_error = IoErrorError("broken");
  // All columns are used, so no row can miss the broken drive.
  for (const auto& result : cluster.write_all(pieces_of(cluster.random, 4, kPiece))) {
    EXPECT_EQ(result.status().code(), StatusCode::kUnavailable);
  }
}

TEST(PackWriterTest, WithoutAnyGroupTheErrorNamesTheDrives) {
  DataPathCluster cluster(make_cluster_map(6, {kCode}, 3));
  cluster.storage.faults(DriveId(4)).write_error = IoErrorError("broken");
  const auto results = cluster.write_all(pieces_of(cluster.random, 6, kPiece));
  for (const auto& result : results) {
    EXPECT_EQ(result.status().code(), StatusCode::kUnavailable);
    EXPECT_THAT(result.status().message(), HasSubstr("drive 4"));
    EXPECT_THAT(result.status().message(), HasSubstr("broken"));
  }
}

TEST(PackWriterTest, ADriveThatIsBackSoonIsWaitedFor) {
  DataPathCluster cluster(make_cluster_map(6, {kCode}, 2));
  cluster.storage.faults(DriveId(4)).write_error = UnavailableError("restarting");
  cluster.executor.schedule_at(cluster.clock.now() + milliseconds(30), [&] {
    cluster.storage.faults(DriveId(4)).write_error = OkStatus();
  });
  const auto extent = cluster.write(random_bytes(cluster.random, kPiece));
  EXPECT_TRUE(extent.ok()) << extent.status().to_string();
}

// As when all daemons restart: some connections are refused, some drives are taken for down.
TEST(PackWriterTest, DrivesThatComeBackBeforeTheDeadlineAreWaitedFor) {
  for (const bool down : {true, false}) {
    DataPathCluster cluster(make_cluster_map(6, {kCode}, 2));
    const auto set = [&](bool away) {
      if (down) {
        cluster.metadata.set_drive_state(DriveId(4), away ? DriveState::kDown : DriveState::kUp);
      } else {
        cluster.storage.faults(DriveId(4)).write_error =
            away ? UnavailableError("refused") : OkStatus();
      }
    };
    set(true);
    const MonotonicTime begin = cluster.clock.now();
    cluster.executor.schedule_at(begin + seconds(20), [&] { set(false); });
    const auto pieces = pieces_of(cluster.random, 6, kPiece);
    expect_stored(cluster, pieces, cluster.write_all(pieces));
    EXPECT_GE(cluster.clock.now() - begin, seconds(20));
    EXPECT_LT(cluster.clock.now() - begin, seconds(21));
    EXPECT_LE(cluster.storage.write_count(), 4U * 6) << "rows are not sent in vain";
  }
}

// What waits for room in the writer does not get the whole time anew.
TEST(PackWriterTest, ABacklogEndsSoonAfterItsDeadlineToo) {
  PackWriterLimits limits;
  limits.max_bytes_in_flight = 64 << 10;
  DataPathCluster cluster(make_cluster_map(6, {kCode}, 2), limits);
  cluster.metadata.set_drive_state(DriveId(4), DriveState::kDown);
  const MonotonicTime begin = cluster.clock.now();
  for (const auto& extent : cluster.write_all(pieces_of(cluster.random, 40, 8 << 10)))
    EXPECT_EQ(extent.status().code(), StatusCode::kUnavailable);
  // Six or seven at once.
  EXPECT_LT(cluster.clock.now() - begin, seconds(30 + 6 * 11));
}

TEST(PackWriterTest, DrivesThatStayAwayEndTheWriteAtItsDeadline) {
  DataPathCluster cluster(make_cluster_map(6, {kCode}, 3));
  cluster.storage.faults(DriveId(4)).write_error = UnavailableError("refused");
  const MonotonicTime begin = cluster.clock.now();
  for (const auto& extent : cluster.write_all(pieces_of(cluster.random, 6, kPiece))) {
    EXPECT_EQ(extent.status().code(), StatusCode::kDeadlineExceeded);
    EXPECT_THAT(extent.status().message(), HasSubstr("drive 4"));
  }
  EXPECT_GE(cluster.clock.now() - begin, seconds(30));
  EXPECT_LT(cluster.clock.now() - begin, seconds(31));
}

TEST(PackWriterTest, DrivesThatTheMapShowsDownAreNamed) {
  DataPathCluster cluster(make_cluster_map(6, {kCode}, 3));
  cluster.metadata.set_drive_state(DriveId(1), DriveState::kDown);
  const MonotonicTime begin = cluster.clock.now();
  const auto extent = cluster.write(random_bytes(cluster.random, kPiece));
  EXPECT_EQ(extent.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(extent.status().message(), HasSubstr("drive 1 is not up"));
  EXPECT_EQ(cluster.storage.write_count(), 0u);
  EXPECT_LT(cluster.clock.now() - begin, seconds(31));
}

TEST(PackWriterTest, AFencedPackIsReplacedByANewLease) {
  DataPathCluster cluster(make_cluster_map(6, {kCode}, 1));
  const auto first = cluster.write(random_bytes(cluster.random, kPiece));
  ASSERT_TRUE(first.ok());
  for (const auto& [pack, epoch] : cluster.metadata.open) {
    for (std::uint32_t d = 0; d < 6; ++d) {
      ASSERT_TRUE(
          cluster.executor.run(cluster.storage.seal_pack(DriveId(d), pack, epoch, {})).ok());
    }
  }
  const std::uint64_t leases = cluster.metadata.lease_calls;
  const Buffer piece = random_bytes(cluster.random, kPiece);
  const auto second = cluster.write(piece);
  expect_stored(cluster, {piece}, {second});
  EXPECT_NE(second->pack, first->pack);
  EXPECT_GT(cluster.metadata.lease_calls, leases);
  EXPECT_FALSE(cluster.router.penalised(DriveId(0), IoKind::kWrite));
}

TEST(PackWriterTest, ANewSessionVoidsAllPacks) {
  DataPathCluster cluster(make_cluster_map(6, {kCode}, 2));
  const auto first = cluster.write(random_bytes(cluster.random, kPiece));
  ASSERT_TRUE(first.ok());
  cluster.metadata.new_session();
  const auto second = cluster.write(random_bytes(cluster.random, kPiece));
  ASSERT_TRUE(second.ok());
  EXPECT_NE(first->pack, second->pack);
  EXPECT_TRUE(cluster.metadata.open.contains(second->pack));
}

TEST(PackWriterTest, ARowThatEndsUnderAnOldSessionIsWrittenAgain) {
  DataPathCluster cluster(make_cluster_map(6, {kCode}, 2));
  for (std::uint32_t d = 0; d < 6; ++d)
    cluster.storage.faults(DriveId(d)).write_delay = milliseconds(10);
  cluster.executor.schedule_at(cluster.clock.now() + milliseconds(5),
                               [&] { cluster.metadata.new_session(); });
  const auto extent = cluster.write(random_bytes(cluster.random, kPiece));
  ASSERT_TRUE(extent.ok()) << extent.status().to_string();
  EXPECT_TRUE(cluster.metadata.open.contains(extent->pack));
  EXPECT_EQ(cluster.writer->counters().rows_rewritten, 1u);
}

TEST(PackWriterTest, AFullDriveSendsRowsToOtherGroups) {
  DataPathCluster cluster(make_cluster_map(12, {kCode}, 12));
  cluster.storage.faults(DriveId(3)).full = true;
  const auto pieces = pieces_of(cluster.random, 10, kPiece);
  for (int round = 0; round < 12; ++round)
    expect_stored(cluster, pieces, cluster.write_all(pieces));
}

TEST(PackWriterTest, WhenAllAreFullTheErrorIsNoSpace) {
  DataPathCluster cluster(make_cluster_map(8, {kCode}, 8));
  for (std::uint32_t d = 0; d < 8; ++d) cluster.storage.faults(DriveId(d)).full = true;
  for (int i = 0; i < 3; ++i) {
    const auto extent = cluster.write(random_bytes(cluster.random, kPiece));
    EXPECT_EQ(extent.status().code(), StatusCode::kNoSpace) << extent.status().to_string();
    EXPECT_THAT(extent.status().message(), HasSubstr("full"));
  }
  // Space came back: it is noticed once the drives are asked again.
  for (std::uint32_t d = 0; d < 8; ++d) cluster.storage.faults(DriveId(d)).full = false;
  cluster.clock.advance(seconds(11));
  EXPECT_TRUE(cluster.write(random_bytes(cluster.random, kPiece)).ok());
}

TEST(PackWriterTest, AMetadataFailureIsHandedOn) {
  DataPathCluster cluster(make_cluster_map(8, {kCode}, 8));
  cluster.metadata.fail_with = UnavailableError("metad is away");
  const auto extent = cluster.write(random_bytes(cluster.random, kPiece));
  EXPECT_EQ(extent.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(extent.status().message(), HasSubstr("metad is away"));
  cluster.metadata.fail_with = OkStatus();
  EXPECT_TRUE(cluster.write(random_bytes(cluster.random, kPiece)).ok());
}

TEST(PackWriterTest, AMetadThatDoesNotAnswerHoldsNoWriteBeyondItsDeadline) {
  DataPathCluster cluster(make_cluster_map(8, {kCode}, 8));
  cluster.metadata.delay = seconds(50);
  const MonotonicTime begin = cluster.clock.now();
  const auto extent = cluster.write(random_bytes(cluster.random, kPiece));
  EXPECT_EQ(extent.status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(cluster.clock.now() - begin, seconds(30));
  cluster.metadata.delay = Duration(0);
}

TEST(PackWriterTest, BytesInFlightAreBounded) {
  PackWriterLimits limits;
  limits.max_bytes_in_flight = 8 * (kPiece + kPieceOverheadBytes);
  DataPathCluster cluster(make_cluster_map(8, {kCode}, 8), limits);
  for (std::uint32_t d = 0; d < 8; ++d)
    cluster.storage.faults(DriveId(d)).write_delay = milliseconds(1);
  const auto pieces = pieces_of(cluster.random, 40, kPiece);
  const auto extents = cluster.write_all(pieces);
  expect_stored(cluster, pieces, extents);
  EXPECT_GE(rows_of(extents).size(), 5u);
  std::map<std::pair<PackId, std::uint32_t>, int> pieces_in_row;
  for (const auto& extent : extents) ++pieces_in_row[{extent->pack, extent->row}];
  for (const auto& [row, count] : pieces_in_row) EXPECT_LE(count, 8);
}

TEST(PackWriterTest, CloseWaitsForWhatIsUnderWayAndGivesPacksBack) {
  DataPathCluster cluster(make_cluster_map(8, {kCode}, 8));
  for (std::uint32_t d = 0; d < 8; ++d)
    cluster.storage.faults(DriveId(d)).write_delay = milliseconds(1);
  std::optional<Result<Extent>> result;
  cluster.executor.post([&] {
    spawn([](DataPathCluster* c, auto* out) -> Task<void> {
      out->emplace(co_await c->writer->write(random_bytes(c->random, kPiece), {}));
    }(&cluster, &result));
  });
  cluster.executor.run_ready();
  EXPECT_TRUE(cluster.close().ok());
  ASSERT_TRUE(result.has_value());
  EXPECT_TRUE(result->ok());
  EXPECT_TRUE(cluster.metadata.open.empty());
  EXPECT_GE(cluster.metadata.closed.size(), 1u);
  EXPECT_EQ(cluster.write(random_bytes(cluster.random, kPiece)).status().code(),
            StatusCode::kCancelled);
}

TEST(PackWriterTest, AFullPackIsGivenBackOnceItsExtentsAreSettled) {
  PackWriterLimits limits;
  limits.pack_bytes_per_column = 16 << 10;
  DataPathCluster cluster(make_cluster_map(6, {kCode}, 1), limits);
  auto by_pack = write_pieces(cluster, 40);
  ASSERT_GE(by_pack.size(), 3u);
  EXPECT_TRUE(cluster.metadata.closed.empty());
  std::vector<Extent>& full = by_pack.begin()->second;
  ASSERT_EQ(full.size(), 16u);
  cluster.writer->settled(std::span(full).first(15));
  cluster.executor.run_ready();
  EXPECT_TRUE(cluster.metadata.closed.empty());
  cluster.executor.post([&] { cluster.writer->settled(std::span(full).last(1)); });
  cluster.executor.run_ready();
  EXPECT_EQ(cluster.metadata.closed, std::set<PackId>{by_pack.begin()->first});
}

TEST(PackWriterTest, PacksThatMetadDidNotTakeBackAreGivenBackLater) {
  PackWriterLimits limits;
  limits.pack_bytes_per_column = 16 << 10;
  DataPathCluster cluster(make_cluster_map(6, {kCode}, 1), limits);
  auto by_pack = write_pieces(cluster, 40);
  const PackId full = by_pack.begin()->first;
  ASSERT_EQ(by_pack.begin()->second.size(), 16u);
  cluster.metadata.fail_with = DeadlineExceededError("metad is away");
  cluster.executor.post([&] { cluster.writer->settled(by_pack.begin()->second); });
  cluster.executor.run_until_idle(cluster.clock.now() + seconds(5));
  EXPECT_TRUE(cluster.metadata.closed.empty());
  cluster.metadata.fail_with = OkStatus();
  cluster.executor.run_until_idle(cluster.clock.now() + seconds(5));
  EXPECT_EQ(cluster.metadata.closed, std::set<PackId>{full});
}

TEST(PackWriterTest, PacksOfALeaseWithoutAnAnswerAreGivenBack) {
  DataPathCluster cluster(make_cluster_map(6, {kCode}, 4));
  cluster.metadata.lose_next_answer = true;
  const auto first = cluster.write(random_bytes(cluster.random, kPiece));
  std::set<PackId> lost;
  for (const auto& [pack, epoch] : cluster.metadata.open) lost.insert(pack);
  ASSERT_FALSE(lost.empty());
  const auto extent = cluster.write(random_bytes(cluster.random, kPiece));
  ASSERT_TRUE(extent.ok()) << extent.status().to_string();
  if (first.ok()) lost.erase(first->pack);
  lost.erase(extent->pack);
  ASSERT_FALSE(lost.empty());
  cluster.executor.run_until_idle(cluster.clock.now() + seconds(20));
  EXPECT_TRUE(cluster.metadata.open.contains(extent->pack)) << "what is in use stays open";
  EXPECT_FALSE(cluster.metadata.closed.empty());
  for (const PackId pack : cluster.metadata.closed) EXPECT_TRUE(lost.contains(pack));
}

TEST(PackWriterTest, APackWhoseGroupMovesByAMapThatCameBeforeTheLeaseIsGivenBack) {
  ClusterMap map = make_cluster_map(7, {kCode}, 4);
  DataPathCluster cluster(map);
  // The leases are given under the map as it was; their answer comes behind the newer one.
  ++map.epoch;
  map.groups[0].moves.push_back({0, DriveId(6)});
  cluster.metadata.next_map = std::make_shared<const ClusterMap>(map);
  ASSERT_TRUE(cluster.executor.run(cluster.metadata.refresh_cluster_map()).ok());
  ASSERT_TRUE(cluster.write(random_bytes(cluster.random, kPiece)).ok());
  cluster.executor.run_ready();
  const auto moves = [&](PackId pack) { return pg_of_pack(pack) == map.groups[0].id; };
  const auto& closed = cluster.metadata.closed;
  EXPECT_TRUE(std::any_of(closed.begin(), closed.end(), moves));
  for (const auto& [pack, epoch] : cluster.metadata.open) EXPECT_FALSE(moves(pack));
}

TEST(PackWriterTest, APackOfAGroupThatMovesIsGivenBackWhenItsLastFragmentHasEnded) {
  ClusterMap map = make_cluster_map(12, {kCode}, 2);
  DataPathCluster cluster(map);
  cluster.storage.faults(map.groups[0].drives.front()).hang_writes = true;
  const auto write = [&] {
    const auto pieces = pieces_of(cluster.random, 4, kPiece);
    for (const auto& extent : cluster.write_all(pieces)) {
      ASSERT_TRUE(extent.ok());
      cluster.writer->settled(std::span(&*extent, 1));
    }
  };
  for (int i = 0; i < 2; ++i) write();
  ASSERT_EQ(cluster.writer->counters().rows_rewritten, 1u);
  ++map.epoch;
  map.groups[0].moves.push_back({0, map.groups[1].drives.front()});
  cluster.metadata.next_map = std::make_shared<const ClusterMap>(map);
  ASSERT_TRUE(cluster.executor.run(cluster.metadata.refresh_cluster_map()).ok());
  write();
  const auto moves = [&](const auto& open) { return pg_of_pack(open.first) == map.groups[0].id; };
  const auto& open = cluster.metadata.open;
  EXPECT_TRUE(std::any_of(open.begin(), open.end(), moves)) << "a fragment is still under way";
  cluster.executor.run_until_idle(cluster.clock.now() + PackWriterLimits().fragment_deadline +
                                  seconds(1));
  EXPECT_TRUE(std::none_of(open.begin(), open.end(), moves));
}

TEST(PackWriterTest, AFullPackIsGivenBackAfterTheGraceTimeInAnyCase) {
  PackWriterLimits limits;
  limits.pack_bytes_per_column = 16 << 10;
  DataPathCluster cluster(make_cluster_map(6, {kCode}, 1), limits);
  for (int i = 0; i < 40; ++i)
    ASSERT_TRUE(cluster.write(random_bytes(cluster.random, kPiece)).ok());
  cluster.clock.advance(limits.retired_pack_grace - seconds(1));
  ASSERT_TRUE(cluster.write(random_bytes(cluster.random, kPiece)).ok());
  EXPECT_TRUE(cluster.metadata.closed.empty());
  cluster.clock.advance(seconds(10));
  ASSERT_TRUE(cluster.write(random_bytes(cluster.random, kPiece)).ok());
  cluster.executor.run_ready();
  EXPECT_EQ(cluster.metadata.closed.size(), 2u);
}

TEST(PackWriterTest, PacksAreLeasedInBulkAheadOfNeed) {
  PackWriterLimits limits;
  limits.pack_bytes_per_column = 16 << 10;
  DataPathCluster cluster(make_cluster_map(8, {kCode}, 8), limits);
  for (int i = 0; i < 128; ++i)
    ASSERT_TRUE(cluster.write(random_bytes(cluster.random, kPiece)).ok());
  // 128 pieces fill eight packs of sixteen.
  EXPECT_LE(cluster.metadata.lease_calls, 3u);
}

}  // namespace
}  // namespace shoal::client
