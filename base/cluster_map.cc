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

const DriveInfo* ClusterMap::drive(DriveId id) const { return find_by_id(drives, id); }
const PlacementGroup* ClusterMap::group(PgId id) const { return find_by_id(groups, id); }

}  // namespace shoal
