#include "base/cluster_map.h"

#include <algorithm>

namespace shoal {
namespace {

template <typename Row, typename Key>
const Row* find_by_id(const std::vector<Row>& rows, Key id) {
  const auto found = std::lower_bound(rows.begin(), rows.end(), id,
                                      [](const Row& row, Key key) { return row.id < key; });
  return found != rows.end() && found->id == id ? &*found : nullptr;
}

}  // namespace

std::string_view to_string(DriveState state) {
  switch (state) {
    case DriveState::kUp: return "up";
    case DriveState::kDown: return "down";
    case DriveState::kDraining: return "draining";
    case DriveState::kOut: return "out";
  }
  return "in an unknown state";
}

bool PlacementGroup::holds(DriveId drive) const {
  return std::find(drives.begin(), drives.end(), drive) != drives.end();
}

bool PlacementGroup::expects(DriveId drive) const {
  return std::any_of(moves.begin(), moves.end(),
                     [&](const ColumnMove& move) { return move.to == drive; });
}

const DriveInfo* ClusterMap::drive(DriveId id) const { return find_by_id(drives, id); }
const PlacementGroup* ClusterMap::group(PgId id) const { return find_by_id(groups, id); }

}  // namespace shoal
