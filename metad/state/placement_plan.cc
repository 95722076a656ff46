#include "metad/state/placement_plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/failure_domains.h"
#include "base/placement.h"

namespace shoal::metad {
namespace {

bool is_leaving(const ClusterMap& map, DriveId id) {
  const DriveInfo* drive = map.drive(id);
  return drive == nullptr || drive->state == DriveState::kDraining ||
         drive->state == DriveState::kOut;
}

bool is_up(const ClusterMap& map, DriveId id) {
  const DriveInfo* drive = map.drive(id);
  return drive != nullptr && drive->state == DriveState::kUp;
}

// Where the column will be once all moves have ended.
DriveId destination(const PlacementGroup& group, std::size_t column) {
  for (const ColumnMove& move : group.moves)
    if (move.column == column) return move.to;
  return group.drives[column];
}

bool is_ordinary(const ClusterMap& map, const PlacementGroup& group) {
  return group.code == map.code && !group.is_fallback();
}

// Columns of ordinary groups on each drive that is not leaving, once all moves have ended.
// Fall-backs hold little: they are written to only while drives are missing.
std::map<DriveId, std::uint32_t> loads(const ClusterMap& map) {
  std::map<DriveId, std::uint32_t> load;
  for (const DriveInfo& drive : map.drives)
    if (!is_leaving(map, drive.id)) load[drive.id] = 0;
  for (const PlacementGroup& group : map.groups) {
    if (!is_ordinary(map, group)) continue;
    for (std::size_t c = 0; c < group.drives.size(); ++c) {
      const auto found = load.find(destination(group, c));
      if (found != load.end()) ++found->second;
    }
  }
  return load;
}

// What makes two fall-backs the same.
using FallbackKey = std::tuple<GroupUse, int, std::set<DriveId>>;
FallbackKey key_of(const PlacementGroup& group) {
  return {group.use, group.code.k, {group.drives.begin(), group.drives.end()}};
}

constexpr std::size_t kNoColumn = ~std::size_t{0};

// The group's columns but for `without`, where they will be; those of narrower groups are kept
// apart by the same domains as ordinary ones.
FailureDomains::Row row_of(const ClusterMap& map, const FailureDomains& domains,
                           const PlacementGroup& group, std::size_t without = kNoColumn) {
  FailureDomains::Row row(domains, map.code);
  for (std::size_t c = 0; c < group.drives.size(); ++c)
    if (c != without) row.add(destination(group, c));
  return row;
}

bool takes_part(const PlacementGroup& group, DriveId drive) {
  return group.holds(drive) || group.expects(drive);
}

DriveId pick_target(const ClusterMap& map, const FailureDomains& domains,
                    const PlacementGroup& group, std::size_t column,
                    const std::map<DriveId, std::uint32_t>& load) {
  const FailureDomains::Row others = row_of(map, domains, group, column);
  DriveId best;
  std::tuple<int, std::uint32_t, int> best_cost;
  for (const auto& [id, columns] : load) {
    if (!is_up(map, id) || takes_part(group, id)) continue;
    const auto shared = others.shared_with(id);
    const std::tuple cost(shared.kept_apart, columns, shared.other);
    if (best == DriveId() || cost < best_cost) {
      best = id;
      best_cost = cost;
    }
  }
  return best;
}

void add_move(PlacementGroup* group, std::size_t column, DriveId to, bool has_packs) {
  if (!has_packs) {
    group->drives[column] = to;
    return;
  }
  const ColumnMove move{static_cast<std::uint8_t>(column), to};
  group->moves.insert(
      std::upper_bound(group->moves.begin(), group->moves.end(), move,
                       [](const auto& a, const auto& b) { return a.column < b.column; }),
      move);
}

struct Step {
  PlacementGroup* group = nullptr;
  std::size_t column = 0;
  DriveId to;
};

// A column that may go from one drive to the other: not into a domain that has more of its group,
// unless the group survives as many of them as `wanted` all the same. Of several, the one farthest
// from others of the group, and whose number the receiver has least, so that each drive goes on
// holding each column equally often.
Step find_step(ClusterMap* map, const FailureDomains& domains, int wanted, DriveId from,
               DriveId to) {
  std::map<std::size_t, int> roles;
  for (const PlacementGroup& group : map->groups) {
    for (std::size_t c = 0; c < group.drives.size(); ++c)
      if (destination(group, c) == to) ++roles[c];
  }
  Step best;
  std::tuple<int, int, int> best_cost;
  for (PlacementGroup& group : map->groups) {
    if (!is_ordinary(*map, group) || !group.moves.empty() || takes_part(group, to)) continue;
    for (std::size_t c = 0; c < group.drives.size(); ++c) {
      if (group.drives[c] != from) continue;
      FailureDomains::Row row = row_of(*map, domains, group, c);
      const auto after = row.shared_with(to);
      const auto before = row.shared_with(from);
      row.add(to);
      const int closer = std::max(0, after.kept_apart - before.kept_apart);
      if (closer > 0 && row.may_fail() < wanted) continue;
      const std::tuple cost(closer, after.other - before.other, roles[c]);
      if (best.group != nullptr && cost >= best_cost) continue;
      best = {&group, c, to};
      best_cost = cost;
    }
  }
  return best;
}

// The column that shares its failure domains with most others of the group, of equals the one on
// the fullest drive, to where it shares them with fewer.
Step find_spreading_step(const ClusterMap& map, const FailureDomains& domains,
                         const std::map<DriveId, std::uint32_t>& load, PlacementGroup* group) {
  Step best;
  std::pair<int, std::uint32_t> most;
  for (std::size_t c = 0; c < group->drives.size(); ++c) {
    const auto from = load.find(group->drives[c]);
    if (from == load.end()) continue;  // leaves anyway
    const FailureDomains::Row others = row_of(map, domains, *group, c);
    const std::pair now(others.shared_with(from->first).kept_apart, from->second);
    const DriveId to = pick_target(map, domains, *group, c, load);
    if (to == DriveId() || now <= most || others.shared_with(to).kept_apart >= now.first) continue;
    most = now;
    best = {group, c, to};
  }
  return best;
}

// Ordinary groups that may change, and fall-backs that hold something: not too many at once.
class Balance {
 public:
  Balance(ClusterMap* map, const HasPacks& has_packs)
      : map_(map),
        has_packs_(has_packs),
        domains_(map->drives),
        wanted_(domains_.may_fail(map->code)) {
    for (const PlacementGroup& group : map->groups) {
      if (!is_ordinary(*map, group)) continue;
      ++ordinary_;
      if (!group.moves.empty()) ++moving_;
    }
  }
  void spread();
  void even_out();

 private:
  bool may_move() const { return 2 * moving_ < ordinary_; }
  void take(const Step& step) {
    const bool packs = has_packs_(step.group->id);
    add_move(step.group, step.column, step.to, packs);
    if (packs) ++moving_;
  }

  ClusterMap* const map_;
  const HasPacks& has_packs_;
  const FailureDomains domains_;
  const int wanted_;  // domains that may fail of an ordinary group
  std::size_t ordinary_ = 0;
  std::size_t moving_ = 0;
};

// Away from hosts or racks that have so much of a group that it survives fewer of them than it
// could.
void Balance::spread() {
  for (PlacementGroup& group : map_->groups) {
    if (!is_ordinary(*map_, group) && !has_packs_(group.id)) continue;
    while (may_move() && group.moves.empty() &&
           row_of(*map_, domains_, group).may_fail() < wanted_) {
      const Step step = find_spreading_step(*map_, domains_, loads(*map_), &group);
      if (step.group == nullptr) break;
      take(step);
    }
  }
}

void Balance::even_out() {
  std::set<std::pair<DriveId, DriveId>> impossible;
  while (may_move()) {
    const auto load = loads(*map_);
    DriveId from;
    DriveId to;
    std::uint32_t gain = 1;
    for (const auto& [a, high] : load) {
      for (const auto& [b, low] : load) {
        if (high <= low + gain || !is_up(*map_, b) || impossible.contains({a, b})) continue;
        from = a;
        to = b;
        gain = high - low;
      }
    }
    if (to == DriveId()) return;
    const Step step = find_step(map_, domains_, wanted_, from, to);
    if (step.group == nullptr) {
      impossible.insert({from, to});
      continue;
    }
    take(step);
  }
}

}  // namespace

std::uint32_t plan_repairs(ClusterMap* map, const HasPacks& has_packs) {
  for (PlacementGroup& group : map->groups) {
    std::erase_if(group.moves, [&](const ColumnMove& move) { return !is_up(*map, move.to); });
  }
  const FailureDomains domains(map->drives);
  auto load = loads(*map);
  std::uint32_t stranded = 0;
  for (PlacementGroup& group : map->groups) {
    for (std::size_t c = 0; c < group.drives.size(); ++c) {
      if (!is_leaving(*map, destination(group, c))) continue;
      const DriveId to = pick_target(*map, domains, group, c, load);
      if (to == DriveId()) {
        ++stranded;
        continue;
      }
      ++load[to];
      add_move(&group, c, to, has_packs(group.id));
    }
  }
  return stranded;
}

void plan_balance(ClusterMap* map, const HasPacks& has_packs) {
  Balance balance(map, has_packs);
  balance.spread();
  balance.even_out();
}

void add_missing_groups(ClusterMap* map, const HasPacks& has_packs) {
  std::vector<DriveInfo> drives;
  std::vector<DriveInfo> staying;
  for (const DriveInfo& drive : map->drives) {
    if (drive.state == DriveState::kUp) drives.push_back(drive);
    if (!is_leaving(*map, drive.id)) staying.push_back(drive);
  }
  // Those that are down are expected back.
  for (DriveInfo& drive : staying) drive.state = DriveState::kUp;
  PgId next(map->groups.empty() ? 1 : map->groups.back().id.value() + 1);
  const auto add = [&](PlacementGroup group) {
    group.id = next;
    next = PgId(next.value() + 1);
    map->groups.push_back(std::move(group));
  };
  const auto ordinary = static_cast<std::uint32_t>(
      std::count_if(map->groups.begin(), map->groups.end(),
                    [&](const auto& group) { return is_ordinary(*map, group); }));
  const std::uint32_t wanted = kGroupsPerDrive * static_cast<std::uint32_t>(drives.size());
  if (wanted > ordinary) {
    // The last of a whole table for these drives, so that the roles go on turning.
    auto made = make_placement_groups(drives, map->code, wanted, PgId(1));
    if (made.ok()) {
      for (std::uint32_t i = ordinary; i < wanted; ++i) add(std::move((*made)[i]));
    }
  }
  std::map<FallbackKey, PlacementGroup> missing;
  for (PlacementGroup& group : make_fallback_groups(staying, map->code, PgId(1)))
    missing.emplace(key_of(group), std::move(group));
  // Those that cover what another covers, or need a drive that leaves, and hold nothing.
  std::map<std::pair<GroupUse, int>, std::vector<PlacementGroup*>> spare;
  const auto kind = [](const PlacementGroup& group) {
    return std::pair(group.use, group.code.width());
  };
  for (PlacementGroup& group : map->groups) {
    if (!group.is_fallback() || !group.moves.empty()) continue;
    const bool covers = missing.erase(key_of(group)) > 0;
    if (!covers && !has_packs(group.id)) spare[kind(group)].push_back(&group);
  }
  std::vector<PlacementGroup> added;
  for (auto& [key, group] : missing) {
    auto& same = spare[kind(group)];
    if (same.empty()) {
      added.push_back(std::move(group));
    } else {
      same.back()->drives = std::move(group.drives);
      same.pop_back();
    }
  }
  for (PlacementGroup& group : added) add(std::move(group));
}

}  // namespace shoal::metad
