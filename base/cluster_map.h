// ClusterMap: the versioned table of drives and placement groups that metad hands out. Explicit,
// not computed: a row says which drive holds which column. Immutable once published; a newer map
// has a higher epoch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/row_layout.h"

namespace shoal {

enum class DriveState : std::uint8_t { kUp = 0, kDown = 1, kDraining = 2, kOut = 3 };

struct DriveInfo {
  DriveId id;
  NodeId node;          // the storaged process that serves it
  std::string uuid;     // as in the drive's superblock
  std::string address;  // host:port of that process; "" in the all-in-one program
  std::string host;     // failure domain labels
  std::string rack;
  DriveState state = DriveState::kUp;
};

struct PlacementGroup {
  PgId id;
  CodeShape code;
  std::vector<DriveId> drives;  // code.width() of them; drives[c] holds column c
};

struct ClusterMap {
  std::uint64_t epoch = 0;
  std::string cluster_uuid;
  std::vector<DriveInfo> drives;       // ascending by id
  std::vector<PlacementGroup> groups;  // ascending by id; a row is never changed, only added

  const DriveInfo* drive(DriveId id) const;    // null if unknown
  const PlacementGroup* group(PgId id) const;  // null if unknown
};

}  // namespace shoal
