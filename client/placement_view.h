// PlacementView: what the present cluster map says about placement groups: where a pack's columns
// lie, which groups are whole, and how many parity columns a new row must have. Immutable; a new
// map makes a new view.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <tuple>

#include "base/cluster_map.h"

namespace shoal::client {

class PlacementView {
 public:
  // `map` may be null: then nothing is known.
  explicit PlacementView(std::shared_ptr<const ClusterMap> map);

  const std::shared_ptr<const ClusterMap>& map() const { return map_; }
  std::uint64_t epoch() const { return map_ == nullptr ? 0 : map_->epoch; }

  // The group of a pack, or null when this map does not know it or its row of drives does not fit
  // its code.
  const PlacementGroup* group(PgId id) const;
  // Whether every drive of the group may take new rows, as the map says.
  bool whole(const PlacementGroup& group) const;
  // Whether a drive of the group is draining or out.
  bool leaving(const PlacementGroup& group) const;
  // Whether a drive may be asked for what it holds.
  bool readable(DriveId drive) const;
  // Parity columns that a new row must have: the most that any group in service has. Rows move to a
  // code with a smaller k when drives are missing, never to one with a smaller m.
  int required_parity() const { return required_parity_; }
  std::size_t whole_group_count() const { return whole_group_count_; }
  // The greatest PlacementGroup::preference() of the groups that metad leases packs on.
  std::tuple<bool, int, bool> best_preference() const { return best_preference_; }

  // "drive 3 (host:7001)", for messages.
  std::string describe(DriveId drive) const;
  // The drives of a group that the map does not show as up, for messages: "drive 3 (host:7001) is
  // down".
  std::string describe_missing(const PlacementGroup& group) const;

 private:
  std::shared_ptr<const ClusterMap> map_;
  int required_parity_ = 0;
  std::size_t whole_group_count_ = 0;
  std::tuple<bool, int, bool> best_preference_;
};

}  // namespace shoal::client
