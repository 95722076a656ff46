#include "client/background/rebuilder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/random.h"
#include "tests/support/machine_cluster.h"

namespace shoal::client {
namespace {

using test::MachineCluster;
using test::make_cluster_map;

struct RebuilderTest : testing::Test {
  SeededRandom random{7};
  MachineCluster cluster{make_cluster_map(8, {{4, 2}}, 8)};
  WorkControl control{cluster.executor};
  Rebuilder rebuilder{
      {cluster.worker().metadata(), cluster.worker().router(), cluster.executor, {}}};
  std::map<std::string, std::string> expected;

  void put(int count) {
    for (int i = 0; i < count; ++i) {
      const std::string key = "key/" + std::to_string(expected.size());
      std::string body(1 + random.below(20'000), '\0');
      for (char& c : body) c = static_cast<char>(random.next() >> 56);
      cluster.put(key, body);
      expected[key] = std::move(body);
    }
  }
  void verify() {
    for (const auto& [key, body] : expected) {
      const auto got = cluster.get(key);
      ASSERT_TRUE(got.ok()) << key << ": " << got.status().to_string();
      ASSERT_TRUE(*got == body) << key;
    }
  }
  const ClusterMap& map() { return cluster.metadata.machine().cluster_map(); }
  void set_state(std::uint32_t drive, DriveState state) {
    proto::Command command;
    auto* change = command.mutable_change_cluster()->mutable_set_drive_state();
    change->set_drive(drive);
    change->set_state(static_cast<std::uint32_t>(state));
    ASSERT_EQ(cluster.metadata.apply(std::move(command)).status().code(), 0);
  }
  std::size_t moves() {
    std::size_t count = 0;
    for (const PlacementGroup& group : map().groups) count += group.moves.size();
    return count;
  }
  proto::TaskReport pass() {
    cluster.run(rebuilder.pass(&control));
    proto::TaskReport report;
    rebuilder.report(&report);
    return report;
  }
  // Every row that something refers to, against what the drives of its group really hold.
  std::size_t missing() {
    std::size_t count = 0;
    for (const proto::PackRecord& pack : cluster.packs()) count += missing_of(PackId(pack.pack()));
    return count;
  }
  std::size_t missing_of(PackId pack) {
    proto::Query query;
    query.mutable_list_packs()->set_after(pack.value() - 1);
    query.mutable_list_packs()->set_limit(1);
    query.mutable_list_packs()->set_with_rows(true);
    const auto rows = cluster.metadata.ask(query).list_packs().packs(0).row_live_bytes();
    std::size_t count = 0;
    for (int row = 0; row < rows.size(); ++row)
      if (rows[row] > 0) count += missing_columns(pack, static_cast<std::uint32_t>(row));
    return count;
  }
  std::size_t missing_columns(PackId pack, std::uint32_t row) {
    const PlacementGroup* group = map().group(pg_of_pack(pack));
    const RowShape* shape = nullptr;
    for (const DriveInfo& drive : map().drives) {
      for (const auto& [key, fragment] : cluster.storage.fragments(drive.id))
        if (key.pack == pack && key.row == row) shape = &fragment.shape;
    }
    if (shape == nullptr) return 1;
    std::size_t count = 0;
    for (std::uint8_t c = 0; c < group->drives.size(); ++c) {
      const bool there = cluster.storage.fragments(group->drives[c]).contains({pack, row, c});
      if (shape->height(c) > 0 && !there) ++count;
    }
    return count;
  }
};

TEST_F(RebuilderTest, WhatALostDriveHeldIsRestoredOnTheOthers) {
  put(200);
  cluster.close_packs();
  cluster.storage.wipe(DriveId(3));
  set_state(3, DriveState::kOut);
  ASSERT_GT(moves(), 0U);
  const std::size_t lost = missing();
  EXPECT_GT(lost, 0U);
  const proto::TaskReport report = pass();
  EXPECT_EQ(moves(), 0U) << report.last_error();
  EXPECT_EQ(report.repair().restored_fragments(), lost);
  EXPECT_EQ(missing(), 0U);
  verify();
}

// A move asks one parity column and the drive that it goes to.
TEST_F(RebuilderTest, AMoveFindsElsewhereWhatIsNotWhereItIsThoughtToBe) {
  put(200);
  cluster.close_packs();
  cluster.storage.wipe(DriveId(3));
  cluster.storage.wipe(DriveId(6));  // which nobody knows
  set_state(3, DriveState::kOut);
  ASSERT_GT(moves(), 0U);
  const proto::TaskReport moved = pass();
  EXPECT_EQ(moves(), 0U) << moved.last_error();
  EXPECT_GT(missing(), 0U);
  pass();
  EXPECT_EQ(missing(), 0U);
  verify();
}

TEST_F(RebuilderTest, AMoveListsTwoDrivesOfEachPack) {
  put(200);
  cluster.close_packs();
  cluster.storage.wipe(DriveId(3));
  set_state(3, DriveState::kOut);
  // The target once more when something was to be restored; in some groups the rows have nothing in
  // the column that moves. Only the parity drive reads records.
  std::size_t hurt = 0;
  std::size_t packs = 0;
  for (const proto::PackRecord& pack : cluster.packs()) {
    const PackId id(pack.pack());
    if (pack.live_bytes() == 0 || map().group(pg_of_pack(id))->moves.empty()) continue;
    const bool is_hurt = missing_of(id) > 0;
    if (is_hurt) ++hurt;
    ++packs;
  }
  ASSERT_GT(hurt, 0U);
  cluster.storage.reset_counts();
  pass();
  EXPECT_EQ(moves(), 0U);
  EXPECT_EQ(cluster.storage.list_count(), 2 * packs + hurt);
  EXPECT_EQ(cluster.storage.shape_list_count(), packs);
}

TEST_F(RebuilderTest, AnAuditReadsTheRecordsOfOneDriveOfEachPackAndOfAllWhereThatLacksSome) {
  put(200);
  cluster.close_packs();
  std::size_t live = 0;
  for (const proto::PackRecord& pack : cluster.packs()) live += pack.live_bytes() > 0 ? 1 : 0;
  cluster.storage.reset_counts();
  pass();
  EXPECT_EQ(cluster.storage.shape_list_count(), live);
  // Parity of some packs and data of others, which nobody knows.
  cluster.storage.wipe(DriveId(3));
  ASSERT_GT(missing(), 0U);
  cluster.clock.advance(RebuildLimits().audit_interval + seconds(1));
  cluster.storage.reset_counts();
  pass();
  EXPECT_EQ(missing(), 0U);
  EXPECT_GT(cluster.storage.shape_list_count(), live);
  verify();
}

// A row that every drive of its group lists is whole whatever its shape: only others are read.
TEST_F(RebuilderTest, AnAuditReadsNothingOfRowsOfWhichAllColumnsAreListed) {
  const std::string body(std::size_t{8} << 20, 'x');
  for (const char* key : {"large/1", "large/2"}) {
    cluster.put(key, body);
    expected[key] = body;
  }
  cluster.close_packs();
  cluster.storage.reset_counts();
  const proto::TaskReport report = pass();
  EXPECT_EQ(report.repair().missing_fragments(), 0U);
  EXPECT_GT(cluster.storage.list_count(), 0U);
  EXPECT_EQ(cluster.storage.shape_list_count(), 0U);
  // Damage is not a listed column.
  const PackId pack(cluster.packs().front().pack());
  const PlacementGroup& group = *map().group(pg_of_pack(pack));
  cluster.storage.mark_damaged(group.drives[1], {pack, 0, 1}, "a flipped page");
  EXPECT_EQ(pass().repair().restored_fragments(), 1U);
  EXPECT_EQ(cluster.storage.shape_list_count(), 1U);
  cluster.storage.wipe(DriveId(3));
  cluster.clock.advance(RebuildLimits().audit_interval + seconds(1));
  pass();
  EXPECT_EQ(missing(), 0U);
  verify();
}

// So that nothing is read of the one that is left out, and the reads of the others lie together.
TEST_F(RebuilderTest, RowsThatFollowEachOtherAreRestoredFromTheSameDrives) {
  const std::string body(std::size_t{32} << 20, 'x');
  for (const char* key : {"large/1", "large/2", "large/3"}) {
    cluster.put(key, body);
    expected[key] = body;
  }
  cluster.close_packs();
  cluster.storage.wipe(DriveId(3));
  set_state(3, DriveState::kOut);
  std::map<PackId, std::set<std::uint8_t>> columns;
  std::map<PackId, std::set<std::uint32_t>> rows;
  cluster.storage.on_read = [&](const ReadFragmentRequest& request) {
    columns[request.key.pack].insert(request.key.column);
    rows[request.key.pack].insert(request.key.row);
  };
  pass();
  cluster.storage.on_read = nullptr;
  EXPECT_EQ(moves(), 0U);
  EXPECT_TRUE(
      std::any_of(rows.begin(), rows.end(), [](const auto& of) { return of.second.size() > 1; }));
  for (const auto& [pack, read] : columns) EXPECT_EQ(read.size(), 4U) << pack.to_string();
  EXPECT_EQ(missing(), 0U);
  verify();
}

TEST_F(RebuilderTest, WhatWaitsIsRestoredInTheOrderOfTheLog) {
  put(200);
  cluster.close_packs();
  cluster.storage.wipe(DriveId(3));
  set_state(3, DriveState::kOut);
  for (const DriveInfo& drive : map().drives)
    cluster.storage.faults(drive.id).read_delay = std::chrono::milliseconds(1);
  // Later rows lie further in front.
  cluster.storage.log_place = [](const FragmentKey& key) { return 1'000'000 - key.row; };
  std::map<PackId, std::vector<std::uint32_t>> rows;
  cluster.storage.on_read = [&](const ReadFragmentRequest& request) {
    auto& read = rows[request.key.pack];
    if (read.empty() || read.back() != request.key.row) read.push_back(request.key.row);
  };
  RebuildLimits one_at_a_time;
  one_at_a_time.bytes_in_flight = 1;
  one_at_a_time.bytes_per_second = 0;  // all of a pack wait at once
  Rebuilder careful{
      {cluster.worker().metadata(), cluster.worker().router(), cluster.executor, one_at_a_time}};
  cluster.run(careful.pass(&control));
  EXPECT_EQ(moves(), 0U);
  std::size_t in_order = 0;
  for (auto& [pack, read] : rows) {
    ASSERT_FALSE(read.empty());
    // The first one did not wait.
    EXPECT_TRUE(std::is_sorted(read.rbegin(), read.rend() - 1))
        << pack.to_string() << ": " << testing::PrintToString(read);
    in_order += read.size();
  }
  EXPECT_GT(in_order, 3 * rows.size());
  EXPECT_EQ(missing(), 0U);
}

TEST_F(RebuilderTest, AMoveOfAPackWithoutLiveRowsAndWithoutParityEndsToo) {
  put(1);
  const std::vector<proto::PackRecord> packs = cluster.packs();
  const auto live = std::find_if(packs.begin(), packs.end(),
                                 [](const auto& pack) { return pack.live_bytes() > 0; });
  ASSERT_NE(live, packs.end());
  const PgId group = pg_of_pack(PackId(live->pack()));
  cluster.remove(expected.begin()->first);
  cluster.collect();
  expected.clear();
  const std::vector<DriveId> drives = map().group(group)->drives;
  set_state(drives[4].value(), DriveState::kOut);
  set_state(drives[5].value(), DriveState::kDown);
  ASSERT_FALSE(map().group(group)->moves.empty());
  pass();
  cluster.close_packs();
  set_state(drives[5].value(), DriveState::kUp);
  pass();
  EXPECT_EQ(moves(), 0U);
}

TEST_F(RebuilderTest, AMoveThatWaitsForWritersLooksOnlyAtTheirPacksAgain) {
  put(100);
  cluster.close_packs();
  put(100);
  set_state(2, DriveState::kDraining);
  std::size_t closed = 0;
  std::size_t open = 0;
  for (const proto::PackRecord& pack : cluster.packs()) {
    if (map().group(pg_of_pack(PackId(pack.pack())))->moves.empty()) continue;
    ++(pack.state() == proto::PACK_CLOSED ? closed : open);
  }
  ASSERT_TRUE(closed > 0 && open > 0);
  pass();
  cluster.storage.reset_counts();
  pass();
  EXPECT_EQ(cluster.storage.list_count(), 0U);
  EXPECT_GT(moves(), 0U);
  cluster.close_packs();
  cluster.storage.reset_counts();
  pass();
  EXPECT_EQ(moves(), 0U);
  EXPECT_LE(cluster.storage.shape_list_count(), open);
  EXPECT_EQ(missing(), 0U);
  verify();
}

TEST_F(RebuilderTest, AMoveDoesNotEndWhileAPackMayStillGrow) {
  put(50);
  set_state(2, DriveState::kDraining);
  const std::size_t planned = moves();
  pass();
  EXPECT_EQ(moves(), planned) << "the user's packs are open";
  put(50);  // in groups that do not move
  cluster.close_packs();
  pass();
  EXPECT_EQ(moves(), 0U);
  EXPECT_EQ(missing(), 0U);
  verify();
}

TEST_F(RebuilderTest, AnAuditOfAnOpenPackDoesNotEndAMoveAlsoIfItIsClosedThen) {
  put(50);
  set_state(2, DriveState::kDraining);
  const std::size_t planned = moves();
  cluster.metadata.before = [&](const proto::Command& command) {
    if (!command.change_cluster().has_finish_move()) return;
    proto::Command close;
    close.mutable_close_session()->set_session(cluster.user().metadata().session().value());
    cluster.metadata.apply(std::move(close));
  };
  pass();
  EXPECT_EQ(moves(), planned) << "rows may have come in behind the audit";
  cluster.metadata.before = nullptr;
}

TEST_F(RebuilderTest, SilenceIsNotTakenForWholeness) {
  put(100);
  cluster.close_packs();
  set_state(4, DriveState::kDraining);
  const auto moving = std::find_if(map().groups.begin(), map().groups.end(),
                                   [](const auto& group) { return !group.moves.empty(); });
  ASSERT_NE(moving, map().groups.end());
  const PgId id = moving->id;
  // Only the drive that the column goes to answers: it has nothing, and nothing says what it lacks.
  const std::vector<DriveId> sources = moving->drives;
  for (const DriveId drive : sources) cluster.storage.faults(drive).silent = true;
  const proto::TaskReport quiet = pass();
  EXPECT_FALSE(map().group(id)->moves.empty());
  EXPECT_THAT(quiet.last_error(), testing::AnyOf(testing::HasSubstr("cannot be restored now"),
                                                 testing::HasSubstr("does not answer")));
  for (const DriveInfo& drive : map().drives) cluster.storage.faults(drive.id).silent = false;
  pass();
  EXPECT_EQ(moves(), 0U);
  EXPECT_EQ(missing(), 0U);
}

TEST_F(RebuilderTest, DamagedAndVanishedFragmentsAreMadeAgainInTheirPlace) {
  put(100);
  cluster.close_packs();
  const auto first = *cluster.storage.fragments(DriveId(1)).begin();
  cluster.storage.flip_bit(DriveId(1), first.first, 0);
  cluster.storage.mark_damaged(DriveId(1), first.first, "a flipped page");
  cluster.storage.wipe(DriveId(6));
  const proto::TaskReport report = pass();
  EXPECT_GT(report.repair().restored_fragments(), 1U);
  EXPECT_EQ(report.repair().missing_fragments(), 0U);
  EXPECT_EQ(report.repair().audited_epoch(), map().epoch);
  EXPECT_EQ(missing(), 0U);
  EXPECT_EQ(cluster.storage.fragments(DriveId(1)).at(first.first).bytes, first.second.bytes);
  verify();
}

TEST_F(RebuilderTest, WhatADriveThatWasOpenedAgainHasLostIsRestored) {
  put(100);
  cluster.close_packs();
  ASSERT_EQ(pass().repair().audited_drives_size(), 8);
  cluster.storage.wipe(DriveId(6));  // too short a time away to be down
  pass();
  ASSERT_GT(missing(), 0U);
  cluster.storage.faults(DriveId(6)).opened_ns = 2;
  const proto::TaskReport report = pass();
  EXPECT_EQ(missing(), 0U);
  std::map<std::uint32_t, WallTimeNs> audited;
  for (const proto::AuditedDrive& drive : report.repair().audited_drives())
    audited[drive.drive()] = drive.opened_ns();
  EXPECT_EQ(audited[6], 2);
  EXPECT_EQ(audited[5], 1);
}

TEST_F(RebuilderTest, OtherDamageIsAuditedAlsoIfItIsAsMuchAsBefore) {
  put(100);
  cluster.close_packs();
  std::vector<FragmentKey> keys;
  for (const auto& [key, fragment] : cluster.storage.fragments(DriveId(1))) keys.push_back(key);
  ASSERT_GT(keys.size(), 1U);
  for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
    cluster.storage.flip_bit(DriveId(1), keys[i], 0);
    cluster.storage.mark_damaged(DriveId(1), keys[i], "a flipped page");
    EXPECT_EQ(pass().repair().restored_fragments(), i + 1);
  }
}

// Known damage is damage, also where nothing is referred to (yet, or any more): else it is said
// until the row is given up.
TEST_F(RebuilderTest, DamageInRowsThatNothingRefersToIsPutRightToo) {
  put(100);
  cluster.close_packs();
  for (const auto& [key, body] : expected) cluster.remove(key);
  expected.clear();
  const auto first = *cluster.storage.fragments(DriveId(1)).begin();
  cluster.storage.flip_bit(DriveId(1), first.first, 0);
  cluster.storage.mark_damaged(DriveId(1), first.first, "a flipped page");
  proto::TaskReport report = pass();
  EXPECT_EQ(report.repair().restored_fragments(), 1U);
  EXPECT_EQ(report.repair().missing_fragments(), 0U);
  EXPECT_EQ(cluster.storage.fragments(DriveId(1)).at(first.first).bytes, first.second.bytes);
  // What cannot be put right is no loss.
  cluster.storage.mark_damaged(DriveId(1), first.first, "another one");
  for (const std::uint32_t drive : {0U, 2U, 3U, 4U, 5U, 6U, 7U})
    cluster.storage.wipe(DriveId(drive));
  report = pass();
  EXPECT_EQ(report.repair().restored_fragments(), 1U);
  EXPECT_EQ(report.repair().missing_fragments(), 0U);
  EXPECT_EQ(report.repair().lost_rows(), 0U);
}

TEST_F(RebuilderTest, RowsThatCannotBeRestoredAreCountedAndBlockTheMove) {
  put(100);
  cluster.close_packs();
  for (const std::uint32_t drive : {1U, 2U, 3U, 4U, 5U, 6U}) cluster.storage.wipe(DriveId(drive));
  set_state(2, DriveState::kOut);
  const std::size_t planned = moves();
  const proto::TaskReport report = pass();
  EXPECT_GT(planned, 0U);
  EXPECT_GT(moves(), 0U);
  EXPECT_NE(report.last_error().find("cannot be restored"), std::string::npos)
      << report.last_error();
}

// As when the drives' directories were moved: the daemons answer, and have none of it.
TEST_F(RebuilderTest, WhyRowsCannotBeRestoredIsSaidOnceHoweverOftenItIsTried) {
  put(20);
  cluster.close_packs();
  for (const DriveInfo& drive : map().drives) cluster.storage.wipe(drive.id);
  const proto::TaskReport first = pass();
  EXPECT_THAT(first.last_error(), testing::HasSubstr("no drive that answers has anything of row"));
  cluster.clock.advance(std::chrono::minutes(10));
  EXPECT_EQ(pass().last_error(), first.last_error());
}

TEST_F(RebuilderTest, ANewMapEndsTheRest) {
  pass();
  struct Rest {
    static Task<void> change(RebuilderTest* test) {
      co_await sleep_for(std::chrono::seconds(5));
      test->set_state(3, DriveState::kDown);
      (void)co_await test->cluster.worker().metadata().refresh_cluster_map();
    }
    static Task<bool> run(RebuilderTest* test) {
      TaskScope scope;
      scope.spawn(change(test));
      const bool goes_on = co_await test->control.rest(std::chrono::hours(1));
      co_await scope.join();
      co_return goes_on;
    }
  };
  const MonotonicTime begin = cluster.clock.now();
  EXPECT_TRUE(cluster.run(Rest::run(this)));
  EXPECT_LT(cluster.clock.now() - begin, std::chrono::seconds(6));
}

}  // namespace
}  // namespace shoal::client
