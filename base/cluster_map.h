// ClusterMap: the versioned table of drives and placement groups that metad hands out. Explicit,
// not computed: a row says which drive holds which column. Immutable once published; a newer map
// has a higher epoch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/ids.h"
#include "base/row_layout.h"

namespace shoal {

enum class DriveState : std::uint8_t {
  kUp = 0,
  kDown = 1,      // does not answer now; what it holds is expected back
  kDraining = 2,  // serves reads while what it holds goes elsewhere
  kOut = 3,       // given up: what it held is restored from the others
};
// "up", "down", "draining", "out".
std::string_view to_string(DriveState state);

struct DriveInfo {
  DriveId id;
  NodeId node;          // the storaged process that serves it
  std::string uuid;     // as in the drive's superblock
  std::string address;  // host:port of that process; "" in the all-in-one program
  std::string host;     // failure domain labels
  std::string rack;
  DriveState state = DriveState::kUp;
};

// A column on its way to another drive: what the group's packs hold in it is copied or restored
// there. Until all of it is there, the column is where PlacementGroup::drives says, and no new pack
// is leased on the group.
struct ColumnMove {
  std::uint8_t column = 0;
  DriveId to;
  friend bool operator==(const ColumnMove&, const ColumnMove&) = default;
};

// When a group is written to.
enum class GroupUse : std::uint8_t {
  kOrdinary = 0,
  kFallback = 1,    // while no ordinary one of its code is whole: see make_fallback_groups
  kLastResort = 2,  // while no other is: its rows survive fewer hosts or racks than ordinary ones
};

struct PlacementGroup {
  PgId id;
  CodeShape code;
  std::vector<DriveId> drives;    // code.width() of them; drives[c] holds column c
  std::vector<ColumnMove> moves;  // ascending by column
  GroupUse use = GroupUse::kOrdinary;

  bool is_fallback() const { return use != GroupUse::kOrdinary; }
  // Of those that are whole, the greatest is written to.
  std::tuple<bool, int, bool> preference() const {
    return {use != GroupUse::kLastResort, code.k, use == GroupUse::kOrdinary};
  }
  bool holds(DriveId drive) const;    // one of its columns is there
  bool expects(DriveId drive) const;  // one is on its way there
};

struct ClusterMap {
  std::uint64_t epoch = 0;
  std::string cluster_uuid;
  std::vector<DriveInfo> drives;  // ascending by id
  DriveId last_drive;             // the highest id ever given: none is used again
  CodeShape code;                 // of the ordinary groups
  // Ascending by id. A row's code never changes; a column changes its drive only by a finished
  // move.
  std::vector<PlacementGroup> groups;

  const DriveInfo* drive(DriveId id) const;    // null if unknown
  const PlacementGroup* group(PgId id) const;  // null if unknown
};

}  // namespace shoal
