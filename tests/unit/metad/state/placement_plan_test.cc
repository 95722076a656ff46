#include "metad/state/placement_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/placement.h"
#include "metad/cluster/membership.h"

namespace shoal::metad {
namespace {

const HasPacks kAllHavePacks = [](PgId) { return true; };
const HasPacks kNoneHasPacks = [](PgId) { return false; };

DriveInfo drive(std::uint32_t id, const std::string& host = "host") {
  DriveInfo info;
  info.id = DriveId(id);
  info.uuid = "uuid-" + std::to_string(id);
  info.host = host;
  return info;
}

ClusterMap map_of(std::uint32_t drives, const CodeShape& code, std::uint32_t hosts = 1) {
  std::vector<DriveInfo> infos;
  for (std::uint32_t i = 1; i <= drives; ++i)
    infos.push_back(drive(i, "host-" + std::to_string(i % hosts)));
  return *first_cluster_map("cluster", code, infos);
}

void set_state(ClusterMap* map, std::uint32_t id, DriveState state) {
  const_cast<DriveInfo*>(map->drive(DriveId(id)))->state = state;
}

std::size_t move_count(const ClusterMap& map) {
  std::size_t count = 0;
  for (const PlacementGroup& group : map.groups) count += group.moves.size();
  return count;
}

void finish_all(ClusterMap* map) {
  for (PlacementGroup& group : map->groups) {
    for (const ColumnMove& move : group.moves) group.drives[move.column] = move.to;
    group.moves.clear();
  }
}

// Every drive of a group once, every move to a drive that the group does not have.
void expect_well_formed(const ClusterMap& map) {
  for (const PlacementGroup& group : map.groups) {
    std::set<DriveId> drives(group.drives.begin(), group.drives.end());
    EXPECT_EQ(drives.size(), static_cast<std::size_t>(group.code.width()));
    for (const ColumnMove& move : group.moves)
      EXPECT_TRUE(drives.insert(move.to).second) << "group " << group.id.value();
  }
}

std::map<DriveId, int> columns_of(const ClusterMap& map, int k) {
  std::map<DriveId, int> columns;
  for (const DriveInfo& info : map.drives) columns[info.id] = 0;
  for (const PlacementGroup& group : map.groups) {
    if (group.code.k != k || group.is_fallback()) continue;
    for (const DriveId id : group.drives) ++columns[id];
  }
  return columns;
}

TEST(PlanRepairs, NothingIsPlannedWhileAllDrivesStay) {
  ClusterMap map = map_of(7, {4, 2, MatrixId::kCauchy});
  set_state(&map, 3, DriveState::kDown);
  EXPECT_EQ(plan_repairs(&map, kAllHavePacks), 0U);
  EXPECT_EQ(move_count(map), 0U);
}

TEST(PlanRepairs, EveryColumnOfALostDriveGetsAPlaceInItsGroup) {
  ClusterMap map = map_of(8, {4, 2, MatrixId::kCauchy});
  set_state(&map, 3, DriveState::kOut);
  std::size_t held = 0;
  for (const PlacementGroup& group : map.groups) held += group.holds(DriveId(3)) ? 1 : 0;
  EXPECT_EQ(plan_repairs(&map, kAllHavePacks), 0U);
  EXPECT_EQ(move_count(map), held);
  expect_well_formed(map);
  std::set<DriveId> targets;
  for (const PlacementGroup& group : map.groups)
    for (const ColumnMove& move : group.moves) {
      EXPECT_EQ(group.drives[move.column], DriveId(3));
      targets.insert(move.to);
    }
  EXPECT_GE(targets.size(), 6U) << "the survivors share the work";
  EXPECT_EQ(plan_repairs(&map, kAllHavePacks), 0U);
  EXPECT_EQ(move_count(map), held) << "planned once";
}

TEST(PlanRepairs, ColumnsWithoutADriveToGoToAreCountedAndServedByTheNextOne) {
  ClusterMap map = map_of(6, {4, 2, MatrixId::kCauchy});
  set_state(&map, 1, DriveState::kOut);
  const std::uint32_t stranded = plan_repairs(&map, kAllHavePacks);
  EXPECT_GE(stranded, 12U);  // of the twelve wide groups
  map.drives.push_back(drive(7));
  EXPECT_EQ(plan_repairs(&map, kAllHavePacks), 0U);
  expect_well_formed(map);
  finish_all(&map);
  for (const PlacementGroup& group : map.groups) EXPECT_FALSE(group.holds(DriveId(1)));
}

TEST(PlanRepairs, AGroupWithoutPacksChangesAtOnce) {
  ClusterMap map = map_of(8, {4, 2, MatrixId::kCauchy});
  set_state(&map, 2, DriveState::kDraining);
  EXPECT_EQ(plan_repairs(&map, kNoneHasPacks), 0U);
  EXPECT_EQ(move_count(map), 0U);
  for (const PlacementGroup& group : map.groups) EXPECT_FALSE(group.holds(DriveId(2)));
  expect_well_formed(map);
}

TEST(PlanRepairs, ATargetThatGoesDownLosesItsMoves) {
  ClusterMap map = map_of(8, {4, 2, MatrixId::kCauchy});
  set_state(&map, 3, DriveState::kOut);
  plan_repairs(&map, kAllHavePacks);
  set_state(&map, 4, DriveState::kDown);
  plan_repairs(&map, kAllHavePacks);
  for (const PlacementGroup& group : map.groups) EXPECT_FALSE(group.expects(DriveId(4)));
  expect_well_formed(map);
}

TEST(PlanRepairs, NoHostGetsMoreColumnsThanItHasTo) {
  // Four hosts of three drives, 4+2: two columns on a host at most.
  ClusterMap map = map_of(12, {4, 2, MatrixId::kCauchy}, 4);
  set_state(&map, 5, DriveState::kOut);
  EXPECT_EQ(plan_repairs(&map, kAllHavePacks), 0U);
  finish_all(&map);
  for (const PlacementGroup& group : map.groups) {
    if (group.code.k != 4) continue;
    std::map<std::string, int> columns;
    for (const DriveId id : group.drives) EXPECT_LE(++columns[map.drive(id)->host], 2);
  }
}

TEST(PlanBalance, ANewDriveGetsItsShareAndNothingElseMoves) {
  ClusterMap map = map_of(6, {4, 2, MatrixId::kCauchy});
  map.drives.push_back(drive(7));
  add_missing_groups(&map, kAllHavePacks);
  for (int round = 0; round < 20; ++round) {
    plan_balance(&map, kAllHavePacks);
    expect_well_formed(map);
    for (const PlacementGroup& group : map.groups) {
      EXPECT_LE(group.moves.size(), 1U);
      for (const ColumnMove& move : group.moves) EXPECT_EQ(move.to, DriveId(7));
    }
    const auto wide = std::count_if(map.groups.begin(), map.groups.end(),
                                    [](const auto& group) { return !group.is_fallback(); });
    const auto moving = std::count_if(map.groups.begin(), map.groups.end(),
                                      [](const auto& group) { return !group.moves.empty(); });
    EXPECT_LE(2 * moving, wide + 1) << "others must be left to write to";
    if (move_count(map) == 0) break;
    finish_all(&map);
  }
  EXPECT_EQ(move_count(map), 0U);
  const auto columns = columns_of(map, 4);
  for (const auto& [id, count] : columns) EXPECT_NEAR(count, columns.at(DriveId(7)), 1);
}

// All moves that are planned are made, until there are no more.
void settle(ClusterMap* map) {
  for (int round = 0; round < 100; ++round) {
    plan_balance(map, kAllHavePacks);
    expect_well_formed(*map);
    if (move_count(*map) == 0) return;
    finish_all(map);
  }
  FAIL() << "it never ends";
}

TEST(PlanBalance, HostsAndRacksThatJoinTakeColumnsFromThoseThatHaveTooMany) {
  const CodeShape code{4, 2, MatrixId::kCauchy};
  ClusterMap map = map_of(6, code);  // all on one host
  EXPECT_EQ(protection_of(map).hosts_may_fail(), 0U);
  for (std::uint32_t i = 7; i <= 18; ++i) {
    map.drives.push_back(drive(i, "host-" + std::to_string(i % 2 + 1)));
    map.last_drive = DriveId(i);
    add_missing_groups(&map, kAllHavePacks);
    plan_balance(&map, kAllHavePacks);
  }
  settle(&map);
  EXPECT_EQ(protection_of(map).columns_on_one_host, 2U);
  // Three racks: a host of one of them had two columns of each row.
  for (DriveInfo& info : map.drives) info.rack = info.host;
  for (std::uint32_t i = 19; i <= 24; ++i) {
    DriveInfo info = drive(i, "host-" + std::to_string(i));
    info.rack = "host-" + std::to_string(i % 3);
    map.drives.push_back(info);
  }
  settle(&map);
  EXPECT_EQ(protection_of(map).racks_may_fail(), 1U);
  const auto columns = columns_of(map, 4);
  for (const auto& [id, count] : columns) EXPECT_NEAR(count, 12, 3) << id.value();
}

// Written to while one of three hosts was away, it lies on the two others.
TEST(PlanBalance, AFallBackThatHoldsSomethingIsMovedApartToo) {
  ClusterMap map = map_of(6, {4, 2, MatrixId::kCauchy}, 3);
  const auto on_host_0 = [&](DriveId id) { return map.drive(id)->host == "host-0"; };
  const auto written = std::find_if(map.groups.begin(), map.groups.end(), [&](const auto& group) {
    return group.is_fallback() && std::none_of(group.drives.begin(), group.drives.end(), on_host_0);
  });
  ASSERT_NE(written, map.groups.end());
  const PgId id = written->id;
  const auto most_on_a_host = [&] {
    std::map<std::string, int> hosts;
    int most = 0;
    for (const DriveId drive : map.group(id)->drives)
      most = std::max(most, ++hosts[map.drive(drive)->host]);
    return most;
  };
  EXPECT_EQ(most_on_a_host(), 2);
  const HasPacks has_packs = [&](PgId group) {
    return group == id || !map.group(group)->is_fallback();
  };
  for (std::uint32_t i = 7; i <= 12; ++i) {
    map.drives.push_back(drive(i, "host-" + std::to_string(i / 2)));
    map.last_drive = DriveId(i);
    add_missing_groups(&map, has_packs);
  }
  for (int round = 0; round < 100; ++round) {
    plan_balance(&map, has_packs);
    if (move_count(map) == 0) break;
    finish_all(&map);
  }
  EXPECT_EQ(move_count(map), 0U);
  EXPECT_EQ(protection_of(map).hosts_may_fail(), 2U);
  EXPECT_EQ(most_on_a_host(), 1);
}

TEST(PlanRepairs, ALostHostIsReplacedInItsRackOrWhereFewestAre) {
  const CodeShape code{4, 2, MatrixId::kCauchy};
  std::vector<DriveInfo> infos;
  for (std::uint32_t i = 0; i < 12; ++i) {  // three racks of two hosts of two drives
    infos.push_back(drive(i + 1, "host-" + std::to_string(i / 2)));
    infos.back().rack = "rack-" + std::to_string(i / 4);
  }
  ClusterMap map = *first_cluster_map("cluster", code, infos);
  EXPECT_EQ(protection_of(map).racks_may_fail(), 1U);
  set_state(&map, 1, DriveState::kOut);
  set_state(&map, 2, DriveState::kOut);
  EXPECT_EQ(plan_repairs(&map, kAllHavePacks), 0U);
  finish_all(&map);
  EXPECT_EQ(protection_of(map).racks_may_fail(), 1U);
  EXPECT_EQ(protection_of(map).hosts_may_fail(), 1U);
}

bool can_do_without(const ClusterMap& map, DriveId a, DriveId b) {
  return std::any_of(map.groups.begin(), map.groups.end(), [&](const PlacementGroup& group) {
    return group.code.m == 2 && !group.holds(a) && !group.holds(b) && group.moves.empty() &&
           std::all_of(group.drives.begin(), group.drives.end(),
                       [&](DriveId id) { return map.drive(id)->state == DriveState::kUp; });
  });
}

void expect_every_pair_covered(const ClusterMap& map, const std::string& when) {
  for (const DriveInfo& a : map.drives) {
    for (const DriveInfo& b : map.drives)
      EXPECT_TRUE(can_do_without(map, a.id, b.id))
          << when << ": " << a.id.value() << " and " << b.id.value();
  }
}

// Racks of two, and with odd numbers a drive alone in its own: it is never in the way of keeping
// columns apart.
ClusterMap map_of_racks(std::uint32_t drives, const CodeShape& code) {
  std::vector<DriveInfo> infos;
  for (std::uint32_t i = 1; i <= drives; ++i) {
    infos.push_back(drive(i, "host-" + std::to_string(i)));
    infos.back().rack = "rack-" + std::to_string((i + 1) / 2);
  }
  return *first_cluster_map("cluster", code, infos);
}

// A drive is lost, its columns are rebuilt elsewhere, it comes back, and columns go to it again.
TEST(AddMissingGroups, EverySetOfLostDrivesIsCoveredInEachStepOfAnOutage) {
  const CodeShape code{4, 2, MatrixId::kCauchy};
  for (const std::uint32_t n : {7U, 8U, 9U, 12U}) {
    ClusterMap map = map_of_racks(n, code);
    const HasPacks ordinary_have_packs = [&](PgId id) { return !map.group(id)->is_fallback(); };
    const auto plan = [&](bool balance) {
      plan_repairs(&map, ordinary_have_packs);
      add_missing_groups(&map, ordinary_have_packs);
      if (balance) plan_balance(&map, ordinary_have_packs);
      EXPECT_EQ(plan_repairs(&map, ordinary_have_packs), 0U);
      expect_well_formed(map);
    };
    expect_every_pair_covered(map, "new, " + std::to_string(n));
    const auto racks_may_fail = protection_of(map).racks_may_fail();
    std::vector<std::size_t> counts;
    for (const std::uint32_t lost : {1U, 2U, 5U, 7U, 1U, 2U, 5U, 7U}) {
      const std::string which = std::to_string(lost) + " of " + std::to_string(n);
      set_state(&map, lost, DriveState::kOut);
      plan(false);
      expect_every_pair_covered(map, "lost " + which);
      finish_all(&map);
      expect_every_pair_covered(map, "rebuilt " + which);
      set_state(&map, lost, DriveState::kUp);
      set_state(&map, 3, DriveState::kDown);  // its fall-backs are not for others either
      plan(true);
      set_state(&map, 3, DriveState::kUp);
      expect_every_pair_covered(map, "back " + which);
      finish_all(&map);
      settle(&map);
      expect_every_pair_covered(map, "settled " + which);
      counts.push_back(map.groups.size());
      for (const auto& [id, columns] : columns_of(map, 4)) EXPECT_NEAR(columns, 12, 1);
      EXPECT_EQ(protection_of(map).racks_may_fail(), racks_may_fail);
    }
    EXPECT_EQ(counts.back(), counts[3]) << "those of earlier outages serve again";
  }
}

TEST(AddMissingGroups, FallBacksCoverEverySetOfLostDrives) {
  ClusterMap map = map_of(6, {4, 2, MatrixId::kCauchy});
  map.drives.push_back(drive(7));
  add_missing_groups(&map, kNoneHasPacks);
  expect_every_pair_covered(map, "seven");
  const std::size_t count = map.groups.size();
  add_missing_groups(&map, kNoneHasPacks);
  EXPECT_EQ(map.groups.size(), count);
}

}  // namespace
}  // namespace shoal::metad
