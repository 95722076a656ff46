#include "metad/cluster/drive_watch.h"

#include <algorithm>

namespace shoal::metad {
namespace {

// Drives that are missed: down, or given up and not yet made good elsewhere.
std::size_t count_missed(const ClusterMap& map) {
  const auto is_missed = [&](const DriveInfo& drive) {
    if (drive.state == DriveState::kDown) return true;
    return drive.state == DriveState::kOut &&
           std::any_of(map.groups.begin(), map.groups.end(),
                       [&](const PlacementGroup& group) { return group.holds(drive.id); });
  };
  return static_cast<std::size_t>(std::count_if(map.drives.begin(), map.drives.end(), is_missed));
}

// Drives that may be lost at once without losing anything.
std::size_t tolerated(const ClusterMap& map) {
  std::size_t m = 0;
  for (const PlacementGroup& group : map.groups) m = std::max<std::size_t>(m, group.code.m);
  return m;
}

}  // namespace

void DriveWatch::begin_look(const ClusterMap& map, MonotonicTime now) {
  for (const DriveInfo& drive : map.drives) {
    // The time of a drive that was not asked yet begins now.
    Seen& seen =
        seen_.try_emplace(drive.id, Seen{now, now, false, 0, "it was not asked yet"}).first->second;
    seen.well = false;
  }
}

void DriveWatch::well(DriveId drive, MonotonicTime now) {
  Seen& seen = seen_[drive];
  seen.well = true;
  seen.well_at = now;
}

void DriveWatch::unwell(DriveId drive, std::string trouble) {
  seen_[drive].trouble = std::move(trouble);
}

std::vector<DriveWatch::Change> DriveWatch::end_look(const ClusterMap& map, MonotonicTime now) {
  std::vector<Change> changes;
  std::vector<Change> given_up;
  std::size_t missed = count_missed(map);  // once this look's changes are made
  for (const DriveInfo& drive : map.drives) {
    const auto found = seen_.find(drive.id);
    if (found == seen_.end()) continue;  // it has joined during the look
    Seen& seen = found->second;
    seen.missed = seen.well ? 0 : seen.missed + 1;
    const bool silent_for_long =
        seen.missed >= kLooksToBeDown && now - seen.well_at > options_.down_after;
    if (drive.state == DriveState::kUp && silent_for_long) {
      seen.down_at = now;
      changes.push_back({drive.id, DriveState::kDown, seen.trouble});
      ++missed;
    } else if (drive.state == DriveState::kDown && seen.well) {
      changes.push_back({drive.id, DriveState::kUp, {}});
      --missed;
    } else if (drive.state == DriveState::kDown && options_.out_after > Duration(0) &&
               now - seen.down_at >= options_.out_after) {
      given_up.push_back({drive.id, DriveState::kOut, seen.trouble});
    }
  }
  if (missed <= tolerated(map)) changes.insert(changes.end(), given_up.begin(), given_up.end());
  return changes;
}

}  // namespace shoal::metad
