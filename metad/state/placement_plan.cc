#include "metad/state/placement_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

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

const std::string& host_of(const ClusterMap& map, DriveId id) {
  static const std::string kNone;
  const DriveInfo* drive = map.drive(id);
  return drive == nullptr ? kNone : drive->host;
}

// Where the column will be once all moves have ended.
DriveId destination(const PlacementGroup& group, std::size_t column) {
  for (const ColumnMove& move : group.moves)
    if (move.column == column) return move.to;
  return group.drives[column];
}

// Columns of each drive that is not leaving, once all moves have ended.
std::map<DriveId, std::uint32_t> loads(const ClusterMap& map) {
  std::map<DriveId, std::uint32_t> load;
  for (const DriveInfo& drive : map.drives)
    if (!is_leaving(map, drive.id)) load[drive.id] = 0;
  for (const PlacementGroup& group : map.groups) {
    for (std::size_t c = 0; c < group.drives.size(); ++c) {
      const auto found = load.find(destination(group, c));
      if (found != load.end()) ++found->second;
    }
  }
  return load;
}

// The group's other columns on the host of `drive`.
int columns_on_host(const ClusterMap& map, const PlacementGroup& group, std::size_t column,
                    DriveId drive) {
  int count = 0;
  for (std::size_t c = 0; c < group.drives.size(); ++c) {
    if (c != column && host_of(map, destination(group, c)) == host_of(map, drive)) ++count;
  }
  return count;
}

bool takes_part(const PlacementGroup& group, DriveId drive) {
  return group.holds(drive) || group.expects(drive);
}

DriveId pick_target(const ClusterMap& map, const PlacementGroup& group, std::size_t column,
                    const std::map<DriveId, std::uint32_t>& load) {
  DriveId best;
  std::tuple<int, std::uint32_t> best_cost;
  for (const auto& [id, columns] : load) {
    if (!is_up(map, id) || takes_part(group, id)) continue;
    const std::tuple cost(columns_on_host(map, group, column, id), columns);
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

int widest(const ClusterMap& map) {
  int k = 0;
  for (const PlacementGroup& group : map.groups) k = std::max<int>(k, group.code.k);
  return k;
}

struct Step {
  PlacementGroup* group = nullptr;
  std::size_t column = 0;
};

// A column that may go from one drive to the other. Of several, one whose number the receiver has
// least, so that each drive goes on holding each column equally often.
Step find_step(ClusterMap* map, DriveId from, DriveId to) {
  const int k = widest(*map);
  std::map<std::size_t, int> roles;
  for (const PlacementGroup& group : map->groups) {
    for (std::size_t c = 0; c < group.drives.size(); ++c)
      if (destination(group, c) == to) ++roles[c];
  }
  Step best;
  for (PlacementGroup& group : map->groups) {
    if (group.code.k != k || !group.moves.empty() || takes_part(group, to)) continue;
    for (std::size_t c = 0; c < group.drives.size(); ++c) {
      if (group.drives[c] != from) continue;
      if (columns_on_host(*map, group, c, to) > columns_on_host(*map, group, c, from)) continue;
      if (best.group == nullptr || roles[c] < roles[best.column]) best = {&group, c};
    }
  }
  return best;
}

}  // namespace

std::uint32_t plan_repairs(ClusterMap* map, const HasPacks& has_packs) {
  for (PlacementGroup& group : map->groups) {
    std::erase_if(group.moves, [&](const ColumnMove& move) { return !is_up(*map, move.to); });
  }
  auto load = loads(*map);
  std::uint32_t stranded = 0;
  for (PlacementGroup& group : map->groups) {
    for (std::size_t c = 0; c < group.drives.size(); ++c) {
      if (!is_leaving(*map, destination(group, c))) continue;
      const DriveId to = pick_target(*map, group, c, load);
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
  const int k = widest(*map);
  std::size_t wide = 0;
  std::size_t moving = 0;
  for (const PlacementGroup& group : map->groups) {
    if (group.code.k != k) continue;
    ++wide;
    if (!group.moves.empty()) ++moving;
  }
  std::set<std::pair<DriveId, DriveId>> impossible;
  while (2 * moving < wide) {
    const auto load = loads(*map);
    DriveId from;
    DriveId to;
    std::uint32_t gain = 1;
    for (const auto& [a, high] : load) {
      for (const auto& [b, low] : load) {
        if (high <= low + gain || !is_up(*map, b) || impossible.contains({a, b})) continue;
        from = a;
        to = b;
        gain = high - low;
      }
    }
    if (to == DriveId()) return;
    const Step step = find_step(map, from, to);
    if (step.group == nullptr) {
      impossible.insert({from, to});
      continue;
    }
    const bool packs = has_packs(step.group->id);
    add_move(step.group, step.column, to, packs);
    if (packs) ++moving;
  }
}

void add_missing_groups(ClusterMap* map, const CodeShape& code) {
  std::vector<DriveInfo> drives;
  for (const DriveInfo& drive : map->drives)
    if (drive.state == DriveState::kUp) drives.push_back(drive);
  PgId next(map->groups.empty() ? 1 : map->groups.back().id.value() + 1);
  const auto add = [&](PlacementGroup group) {
    group.id = next;
    next = PgId(next.value() + 1);
    map->groups.push_back(std::move(group));
  };
  const auto wide = static_cast<std::uint32_t>(std::count_if(
      map->groups.begin(), map->groups.end(), [&](const auto& g) { return g.code == code; }));
  const std::uint32_t wanted = kGroupsPerDrive * static_cast<std::uint32_t>(drives.size());
  if (wanted > wide) {
    // The last of a whole table for these drives, so that the roles go on turning.
    auto made = make_placement_groups(drives, code, wanted, PgId(1));
    if (made.ok()) {
      for (std::uint32_t i = wide; i < wanted; ++i) add(std::move(made->groups[i]));
    }
  }
  std::set<std::pair<int, std::set<DriveId>>> known;
  for (const PlacementGroup& group : map->groups)
    known.insert({group.code.k, {group.drives.begin(), group.drives.end()}});
  for (PlacementGroup& group : make_fallback_groups(drives, code, PgId(1))) {
    if (known.contains({group.code.k, {group.drives.begin(), group.drives.end()}})) continue;
    add(std::move(group));
  }
}

}  // namespace shoal::metad
