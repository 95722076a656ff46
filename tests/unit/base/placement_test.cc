#include "base/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

namespace shoal {
namespace {

CodeShape code_of(int k, int m) {
  return {static_cast<std::uint8_t>(k), static_cast<std::uint8_t>(m), MatrixId::kCauchy};
}

// As many drives on each host as `per_host` says, ids from 1 on.
std::vector<DriveInfo> drives_on(const std::vector<int>& per_host) {
  std::vector<DriveInfo> drives;
  for (std::size_t host = 0; host < per_host.size(); ++host) {
    for (int i = 0; i < per_host[host]; ++i) {
      DriveInfo drive;
      drive.id = DriveId(static_cast<std::uint32_t>(drives.size() + 1));
      drive.host = "host" + std::to_string(host);
      drives.push_back(std::move(drive));
    }
  }
  return drives;
}

std::map<std::string, int> columns_by_host(const std::vector<DriveInfo>& drives,
                                           const PlacementGroup& group) {
  std::map<std::string, int> hosts;
  for (const DriveId id : group.drives) ++hosts[drives[id.value() - 1].host];
  return hosts;
}

int most_on_one_host(const std::vector<DriveInfo>& drives, const PlacementGroup& group) {
  int most = 0;
  for (const auto& [host, count] : columns_by_host(drives, group)) most = std::max(most, count);
  return most;
}

TEST(Placement, EveryGroupHasDistinctDrivesAndItsOwnId) {
  const auto drives = drives_on({3, 3, 3});
  const auto made = make_placement_groups(drives, code_of(4, 2), 30, PgId(100));
  ASSERT_TRUE(made.ok()) << made.status().to_string();
  ASSERT_EQ(made->size(), 30U);
  std::uint32_t id = 100;
  for (const PlacementGroup& group : *made) {
    EXPECT_EQ(group.id, PgId(id++));
    EXPECT_EQ(group.code, code_of(4, 2));
    EXPECT_EQ(group.drives.size(), 6U);
    EXPECT_EQ(std::set<DriveId>(group.drives.begin(), group.drives.end()).size(), 6U);
  }
}

TEST(Placement, EveryDriveHoldsEachRoleEquallyOften) {
  for (const std::vector<int>& hosts : {std::vector<int>{6}, {3, 3}, {2, 2, 2}, {5, 5}}) {
    const auto drives = drives_on(hosts);
    const auto count = static_cast<std::uint32_t>(drives.size()) * 4;
    const auto made = make_placement_groups(drives, code_of(3, 2), count, PgId(1));
    ASSERT_TRUE(made.ok());
    std::map<std::pair<DriveId, std::size_t>, int> roles;
    for (const PlacementGroup& group : *made) {
      for (std::size_t c = 0; c < group.drives.size(); ++c) ++roles[{group.drives[c], c}];
    }
    EXPECT_EQ(roles.size(), drives.size() * 5);
    for (const auto& [role, times] : roles) EXPECT_EQ(times, 4);
  }
}

TEST(Placement, TheSameDrivesGiveTheSameTable) {
  const auto drives = drives_on({2, 3, 1});
  const auto once = make_placement_groups(drives, code_of(2, 1), 9, PgId(1));
  const auto again = make_placement_groups(drives, code_of(2, 1), 9, PgId(1));
  ASSERT_TRUE(once.ok() && again.ok());
  for (std::size_t g = 0; g < 9; ++g) EXPECT_EQ((*once)[g].drives, (*again)[g].drives);
}

TEST(Placement, ColumnsSpreadEvenlyOverHostsOfOneSize) {
  for (const auto& [hosts, per_host] : {std::pair(6, 1), {6, 2}, {3, 2}, {2, 3}, {3, 4}}) {
    const auto drives = drives_on(std::vector<int>(static_cast<std::size_t>(hosts), per_host));
    const auto made = make_placement_groups(drives, code_of(4, 2), 48, PgId(1));
    ASSERT_TRUE(made.ok());
    for (const PlacementGroup& group : *made) {
      for (const auto& [host, count] : columns_by_host(drives, group))
        EXPECT_EQ(count, std::max(1, 6 / hosts)) << hosts << " hosts, " << host;
    }
  }
}

// Five drives on three hosts have a group for each start that keeps hosts apart as far as can be;
// a table that ignores this loses two columns of a 2+1 row with one host, and warns of nothing.
TEST(Placement, ColumnsSpreadEvenlyOverHostsOfSeveralSizes) {
  for (const std::vector<int>& hosts : {std::vector<int>{2, 2, 1}, {4, 1, 1}, {3, 3, 2, 1}}) {
    const auto drives = drives_on(hosts);
    const auto made = make_placement_groups(drives, code_of(2, 1), 20, PgId(1));
    ASSERT_TRUE(made.ok());
    for (const PlacementGroup& group : *made)
      EXPECT_EQ(most_on_one_host(drives, group), 1) << "group " << group.id.value();
  }
}

// Of each rack the drives of each of its hosts.
std::vector<DriveInfo> drives_in(const std::vector<std::vector<int>>& racks) {
  std::vector<DriveInfo> drives;
  for (std::size_t rack = 0; rack < racks.size(); ++rack) {
    for (std::size_t host = 0; host < racks[rack].size(); ++host) {
      for (int i = 0; i < racks[rack][host]; ++i) {
        DriveInfo drive;
        drive.id = DriveId(static_cast<std::uint32_t>(drives.size() + 1));
        drive.rack = "rack" + std::to_string(rack);
        drive.host = drive.rack + "-host" + std::to_string(host);
        drives.push_back(std::move(drive));
      }
    }
  }
  return drives;
}

Protection protection(const std::vector<DriveInfo>& drives, int k, int m) {
  ClusterMap map;
  map.drives = drives;
  auto made = make_placement_groups(drives, code_of(k, m), 24, PgId(1));
  EXPECT_TRUE(made.ok());
  map.groups = std::move(*made);
  return protection_of(map);
}

TEST(Placement, ARowSurvivesARackWhereThereAreEnoughOfThem) {
  // Three racks of two hosts of two drives: by hosts alone a rack may get three columns of 4+2.
  for (const auto& racks : std::vector<std::vector<std::vector<int>>>{
           {{2, 2}, {2, 2}, {2, 2}}, {{1, 1, 1, 1, 1}, {4}, {2, 1}}, {{6}, {6}, {6}}}) {
    const Protection found = protection(drives_in(racks), 4, 2);
    EXPECT_EQ(found.columns_in_one_rack, 2U);
    EXPECT_EQ(found.racks_may_fail(), 1U);
    EXPECT_GE(found.hosts_may_fail(), 1U);
  }
}

TEST(Placement, HostsAreKeptApartFirstWhereNoRackMayBeLost) {
  // Half of each row in the rack of one host would lose it with that host.
  const Protection found = protection(drives_in({{1, 1, 1, 1, 1}, {6}}), 4, 2);
  EXPECT_EQ(found.columns_on_one_host, 1U);
  EXPECT_EQ(found.racks_may_fail(), 0U);
  EXPECT_EQ(found.hosts_may_fail(), 2U);
  // Of equals the rack with fewer.
  EXPECT_EQ(protection(drives_in({{1, 1, 1, 1}, {1, 1, 1, 1}}), 4, 2).columns_in_one_rack, 3U);
}

TEST(Placement, ProtectionSaysWhatMayFail) {
  const auto hosts_may_fail = [](const std::vector<int>& hosts, int k, int m) {
    return protection(drives_on(hosts), k, m).hosts_may_fail();
  };
  EXPECT_EQ(hosts_may_fail({1, 1, 1}, 2, 1), 1U);
  EXPECT_EQ(hosts_may_fail({3}, 2, 1), 0U);
  EXPECT_EQ(hosts_may_fail({2, 2, 2}, 4, 2), 1U);
  EXPECT_EQ(hosts_may_fail({2, 2, 2}, 2, 4), 2U);
}

TEST(Placement, DrivesThatAreNotUpAreLeftOut) {
  auto drives = drives_on({1, 1, 1, 1, 1, 1});
  drives[0].state = DriveState::kDown;
  drives[2].state = DriveState::kDraining;
  drives[4].state = DriveState::kOut;
  const auto made = make_placement_groups(drives, code_of(2, 1), 6, PgId(1));
  ASSERT_TRUE(made.ok());
  for (const PlacementGroup& group : *made) {
    for (const DriveId id : group.drives) EXPECT_EQ(id.value() % 2, 0U);
  }
  EXPECT_EQ(make_placement_groups(drives, code_of(3, 1), 1, PgId(1)).status().code(),
            StatusCode::kInvalidArgument);
}

TEST(Placement, TooFewDrivesOrABadCodeIsRefused) {
  const auto refused = make_placement_groups(drives_on({5}), code_of(4, 2), 1, PgId(1));
  EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(refused.status().message().find("6 drives, 5 are up"), std::string::npos);
  EXPECT_FALSE(make_placement_groups({}, code_of(1, 0), 1, PgId(1)).ok());
  EXPECT_FALSE(make_placement_groups(drives_on({9}), code_of(0, 1), 1, PgId(1)).ok());
  EXPECT_TRUE(make_placement_groups(drives_on({6}), code_of(4, 2), 0, PgId(1))->empty());
}

TEST(FallbackGroups, OneNarrowerGroupForEachLossThatLeavesNoWholeOne) {
  // Six drives, 4+2: six single losses, fifteen double ones.
  const auto groups = make_fallback_groups(drives_on({1, 1, 1, 1, 1, 1}), code_of(4, 2), PgId(50));
  ASSERT_EQ(groups.size(), 6U + 15U);
  std::set<std::set<DriveId>> sets;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const PlacementGroup& group = groups[g];
    EXPECT_EQ(group.id, PgId(50 + static_cast<std::uint32_t>(g)));
    EXPECT_EQ(group.code.m, 2);
    EXPECT_TRUE(group.code.k == 3 || group.code.k == 2);
    EXPECT_TRUE(validate(group.code).ok());
    EXPECT_EQ(group.drives.size(), static_cast<std::size_t>(group.code.width()));
    const std::set<DriveId> set(group.drives.begin(), group.drives.end());
    EXPECT_EQ(set.size(), group.drives.size());
    sets.insert(set);
  }
  EXPECT_EQ(sets.size(), groups.size()) << "each loss has its own group";
}

// The widest fall-back that does without the drives; null if there is none.
const PlacementGroup* without(const std::vector<PlacementGroup>& groups,
                              const std::set<DriveId>& lost) {
  const PlacementGroup* best = nullptr;
  for (const PlacementGroup& group : groups) {
    if (std::any_of(lost.begin(), lost.end(), [&](DriveId id) { return group.holds(id); }))
      continue;
    if (best == nullptr || group.code.k > best->code.k) best = &group;
  }
  return best;
}

TEST(FallbackGroups, EveryTwoDrivesCanBeDoneWithout) {
  std::map<int, std::size_t> counts;
  for (int n = 6; n <= 20; ++n) {
    const auto drives = drives_on(std::vector<int>(static_cast<std::size_t>(n), 1));
    const auto groups = make_fallback_groups(drives, code_of(4, 2), PgId(1));
    counts[n] = groups.size();
    for (const PlacementGroup& group : groups) {
      EXPECT_EQ(group.use, GroupUse::kFallback);
      EXPECT_EQ(group.code.m, 2);
    }
    for (const DriveInfo& a : drives) {
      for (const DriveInfo& b : drives) {
        const std::set<DriveId> lost{a.id, b.id};
        const PlacementGroup* group = without(groups, lost);
        ASSERT_NE(group, nullptr) << n << ": " << a.id.value() << " and " << b.id.value();
        EXPECT_EQ(group->code.k, std::min<int>(n - static_cast<int>(lost.size()) - 2, 4));
      }
    }
  }
  EXPECT_EQ(counts[7], 7U + 21U);
  EXPECT_EQ(counts[8], 28U) << "each of them does without two";
  EXPECT_LE(counts[9], 18U);
  EXPECT_LE(counts[12], 14U);
  EXPECT_LE(counts[20], 8U);
}

TEST(FallbackGroups, WithFewerDrivesThanColumnsOneForAllOfThem) {
  const auto groups = make_fallback_groups(drives_on({1, 1, 1, 1, 1}), code_of(4, 2), PgId(1));
  ASSERT_NE(without(groups, {}), nullptr);
  EXPECT_EQ(without(groups, {})->code, code_of(3, 2));
}

int most_in_one_rack(const std::vector<DriveInfo>& drives, const PlacementGroup& group) {
  std::map<std::string, int> racks;
  int most = 0;
  for (const DriveId id : group.drives) most = std::max(most, ++racks[drives[id.value() - 1].rack]);
  return most;
}

std::set<DriveId> drives_where(const std::vector<DriveInfo>& drives,
                               const std::function<bool(const DriveInfo&)>& chosen) {
  std::set<DriveId> found;
  for (const DriveInfo& drive : drives)
    if (chosen(drive)) found.insert(drive.id);
  return found;
}

// Each ordinary row has a column on every host: without fall-backs a host that restarts ends all
// writes.
TEST(FallbackGroups, AsManyHostsAsRowsSurviveCanBeDoneWithout) {
  const auto drives = drives_on({2, 2, 2, 2, 2, 2});
  const auto groups = make_fallback_groups(drives, code_of(4, 2), PgId(1));
  for (int a = 0; a < 6; ++a) {
    for (int b = 0; b < 6; ++b) {
      const auto lost = drives_where(drives, [&](const DriveInfo& drive) {
        return drive.host == "host" + std::to_string(a) || drive.host == "host" + std::to_string(b);
      });
      const PlacementGroup* group = without(groups, lost);
      ASSERT_NE(group, nullptr) << a << " and " << b;
      EXPECT_EQ(group->code, code_of(a == b ? 3 : 2, 2));
      EXPECT_EQ(most_on_one_host(drives, *group), 1) << "as protected as ordinary rows";
    }
  }
  // Three hosts of three: one may fail, and two columns of a row are on each.
  const auto three = drives_on({3, 3, 3});
  const auto for_three = make_fallback_groups(three, code_of(4, 2), PgId(1));
  for (int a = 0; a < 3; ++a) {
    const auto lost = drives_where(
        three, [&](const DriveInfo& drive) { return drive.host == "host" + std::to_string(a); });
    const PlacementGroup* group = without(for_three, lost);
    ASSERT_NE(group, nullptr) << a;
    EXPECT_EQ(group->code, code_of(2, 2));
    EXPECT_EQ(most_on_one_host(three, *group), 2);
  }
}

TEST(FallbackGroups, ARackThatRowsSurviveCanBeDoneWithout) {
  const auto drives = drives_in({{2, 2}, {2, 2}, {2, 2}, {2, 2}});
  const auto groups = make_fallback_groups(drives, code_of(4, 2), PgId(1));
  for (int a = 0; a < 4; ++a) {
    const auto lost = drives_where(
        drives, [&](const DriveInfo& drive) { return drive.rack == "rack" + std::to_string(a); });
    const PlacementGroup* group = without(groups, lost);
    ASSERT_NE(group, nullptr) << a;
    EXPECT_EQ(group->code, code_of(4, 2));
    EXPECT_EQ(most_in_one_rack(drives, *group), 2);
  }
}

// Kept apart by racks, rows survive hosts in different racks too.
TEST(FallbackGroups, AsManyHostsInDifferentRacksCanBeDoneWithout) {
  const auto drives = drives_in({{2, 2}, {2, 2}, {2, 2}});
  const auto groups = make_fallback_groups(drives, code_of(4, 2), PgId(1));
  std::set<std::string> hosts;
  for (const DriveInfo& drive : drives) hosts.insert(drive.host);
  for (const std::string& a : hosts) {
    for (const std::string& b : hosts) {
      const auto lost = drives_where(
          drives, [&](const DriveInfo& drive) { return drive.host == a || drive.host == b; });
      const PlacementGroup* group = without(groups, lost);
      ASSERT_NE(group, nullptr) << a << " and " << b;
      EXPECT_EQ(group->use, GroupUse::kFallback);
      EXPECT_EQ(most_on_one_host(drives, *group), 1);
      EXPECT_LE(most_in_one_rack(drives, *group), 2);
    }
  }
}

TEST(FallbackGroups, WhatSurvivesLessThanOrdinaryRowsIsTheLastResort) {
  // Hosts of four: with two drives of one lost, two columns can still be on each; with all four
  // not.
  const auto drives = drives_on({4, 4});
  const auto groups = make_fallback_groups(drives, code_of(2, 2), PgId(1));
  int last_resorts = 0;
  for (const PlacementGroup& group : groups) {
    EXPECT_EQ(group.use == GroupUse::kLastResort, most_on_one_host(drives, group) > 2);
    last_resorts += group.use == GroupUse::kLastResort ? 1 : 0;
  }
  EXPECT_EQ(last_resorts, 2);
  for (const DriveInfo& a : drives) {
    for (const DriveInfo& b : drives) {
      EXPECT_TRUE(std::any_of(groups.begin(), groups.end(),
                              [&](const PlacementGroup& group) {
                                return group.use == GroupUse::kFallback && !group.holds(a.id) &&
                                       !group.holds(b.id);
                              }))
          << a.id.value() << " and " << b.id.value();
    }
  }
}

TEST(FallbackGroups, TheLargestSetsAreLeftOutWhereTheyAreTooMany) {
  const auto drives = drives_on(std::vector<int>(60, 1));
  const auto groups = make_fallback_groups(drives, code_of(8, 3), PgId(1));  // 34,220 of three
  EXPECT_LE(groups.size(), 10U);
  EXPECT_NE(without(groups, {DriveId(7), DriveId(42)}), nullptr);
  EXPECT_TRUE(make_fallback_groups(drives_on({4}), code_of(4, 0), PgId(1)).empty());
  EXPECT_TRUE(make_fallback_groups({}, code_of(4, 2), PgId(1)).empty());
}

TEST(FallbackGroups, NeverWithoutADataColumn) {
  // 1+1 on two drives: one loss leaves no room for data and parity.
  EXPECT_TRUE(make_fallback_groups(drives_on({1, 1}), code_of(1, 1), PgId(1)).empty());
  for (const PlacementGroup& group : make_fallback_groups(drives_on({4}), code_of(2, 2), PgId(1)))
    EXPECT_EQ(group.code, code_of(1, 2));
}

TEST(ClusterMap, LooksUpDrivesAndGroupsById) {
  ClusterMap map;
  map.drives = drives_on({3});
  map.groups = *make_placement_groups(map.drives, code_of(2, 1), 4, PgId(10));
  ASSERT_NE(map.drive(DriveId(2)), nullptr);
  EXPECT_EQ(map.drive(DriveId(2))->id, DriveId(2));
  EXPECT_EQ(map.drive(DriveId(0)), nullptr);
  EXPECT_EQ(map.drive(DriveId(4)), nullptr);
  ASSERT_NE(map.group(PgId(13)), nullptr);
  EXPECT_EQ(map.group(PgId(13))->id, PgId(13));
  EXPECT_EQ(map.group(PgId(9)), nullptr);
  EXPECT_EQ(map.group(PgId(14)), nullptr);
  EXPECT_EQ(ClusterMap().group(PgId(1)), nullptr);
}

}  // namespace
}  // namespace shoal
