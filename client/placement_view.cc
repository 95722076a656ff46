#include "client/placement_view.h"

#include <algorithm>

namespace shoal::client {
namespace {

bool well_formed(const PlacementGroup& group) {
  return validate(group.code).ok() &&
         group.drives.size() == static_cast<std::size_t>(group.code.width());
}

}  // namespace

PlacementView::PlacementView(std::shared_ptr<const ClusterMap> map) : map_(std::move(map)) {
  if (map_ == nullptr) return;
  for (const PlacementGroup& group : map_->groups) {
    if (!well_formed(group)) continue;
    if (whole(group)) ++whole_group_count_;
    if (whole(group) && group.moves.empty())
      best_preference_ = std::max(best_preference_, group.preference());
    const bool in_service = std::all_of(group.drives.begin(), group.drives.end(), [&](DriveId id) {
      const DriveInfo* drive = map_->drive(id);
      return drive != nullptr &&
             (drive->state == DriveState::kUp || drive->state == DriveState::kDown);
    });
    if (in_service) required_parity_ = std::max<int>(required_parity_, group.code.m);
  }
}

const PlacementGroup* PlacementView::group(PgId id) const {
  if (map_ == nullptr) return nullptr;
  const PlacementGroup* group = map_->group(id);
  return group != nullptr && well_formed(*group) ? group : nullptr;
}

bool PlacementView::whole(const PlacementGroup& group) const {
  if (map_ == nullptr) return false;
  return std::all_of(group.drives.begin(), group.drives.end(), [&](DriveId id) {
    const DriveInfo* drive = map_->drive(id);
    return drive != nullptr && drive->state == DriveState::kUp;
  });
}

bool PlacementView::leaving(const PlacementGroup& group) const {
  return map_ != nullptr && std::any_of(group.drives.begin(), group.drives.end(), [&](DriveId id) {
           const DriveInfo* drive = map_->drive(id);
           return drive == nullptr || drive->state == DriveState::kDraining ||
                  drive->state == DriveState::kOut;
         });
}

bool PlacementView::readable(DriveId id) const {
  const DriveInfo* drive = map_ == nullptr ? nullptr : map_->drive(id);
  return drive != nullptr &&
         (drive->state == DriveState::kUp || drive->state == DriveState::kDraining);
}

std::string PlacementView::describe(DriveId id) const {
  std::string text = "drive " + id.to_string();
  const DriveInfo* drive = map_ == nullptr ? nullptr : map_->drive(id);
  if (drive == nullptr) return text + " (not in the cluster map)";
  if (!drive->address.empty()) text += " (" + drive->address + ")";
  return text;
}

std::string PlacementView::describe_missing(const PlacementGroup& group) const {
  std::string text;
  for (DriveId id : group.drives) {
    const DriveInfo* drive = map_ == nullptr ? nullptr : map_->drive(id);
    if (drive != nullptr && drive->state == DriveState::kUp) continue;
    if (!text.empty()) text += ", ";
    text += describe(id);
    if (drive != nullptr) text.append(" is ").append(to_string(drive->state));
  }
  return text;
}

}  // namespace shoal::client
